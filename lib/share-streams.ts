// The broker's place on the workers' control streams, and the rules that they get. Level 5.
import type { Broker } from './broker.js';
import { CometFlag } from './comet.js';
import type { StreamSharer } from './manager.js';

/** Options of a comet server as createServer() has them. */
export interface CometOptions {
  readonly heartbeat: number;
  readonly pollTimeout: number;
  readonly handshakeTimeout: number;
  readonly writeTimeout: number;
  readonly linger: number;
  readonly retry: number;
  readonly messageBytes: number;
  readonly outboxBytes: number;
  readonly channelsPerConnection: number;
  readonly origin?: readonly string[];
  readonly clientPublish: boolean;
  readonly wsEcho: boolean;
}

/** The broker's place on the workers' control streams. */
export function shareStreams(broker: Broker, options: CometOptions): StreamSharer {
  const flags =
    (options.wsEcho ? CometFlag.wsEcho : 0) |
    (options.clientPublish ? CometFlag.clientsPublish : 0);
  return {
    rules: {
      epoch: broker.epoch,
      heartbeatS: options.heartbeat,
      pollTimeoutS: options.pollTimeout,
      handshakeTimeoutS: options.handshakeTimeout,
      writeTimeoutS: options.writeTimeout,
      lingerS: Math.max(options.linger, options.pollTimeout),
      retryMs: options.retry,
      messageBytesMax: options.messageBytes,
      outboxBytesMax: Math.max(options.outboxBytes, options.messageBytes),
      channelsPerConnectionMax: options.channelsPerConnection,
      flags,
      origins: options.origin ?? [],
    },
    attach: (stream) => {
      broker.attach(stream);
    },
    workerGone: (slot) => {
      broker.workerGone(slot);
    },
    drained: () => {
      broker.drained();
    },
    onFrame: (slot, frame) => {
      broker.onFrame(slot, frame);
    },
  };
}
