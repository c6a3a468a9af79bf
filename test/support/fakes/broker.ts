// A broker with fake ports that keep their frames, the frames of workers, and its answers in short
// form.
import type { BrokerOptions, BrokerParts } from '../../../lib/broker/broker-options.js';
import { Broker } from '../../../lib/broker/broker.js';

import { brokerOptions } from '../../../lib/server/broker-options.js';
import { fill } from '../../../lib/server/server-options.js';
import { ReplayPageFlag, type Frame, type Frames } from '../../../lib/ipc/frames.js';
import { FakePort, FakeIterations, messagesIn } from './comet.js';

export const EPOCH = 0xabcn;

export interface World {
  readonly broker: Broker;
  readonly turns: FakeIterations;
  readonly ports: readonly FakePort[];
}

export function world(
  workers = 3,
  options: Partial<BrokerOptions> = {},
  parts: BrokerParts = {},
): World {
  const turns = new FakeIterations();
  const broker = new Broker(
    { ...brokerOptions(workers, fill({})), ...options },
    { now: turns.now, schedule: turns.schedule, epoch: EPOCH, ...parts },
  );
  const ports = Array.from({ length: workers }, (_, slot) => new FakePort(slot));
  for (const port of ports) broker.attach(port);
  return { broker, turns, ports };
}

export function wants(broker: Broker, slot: number, channel: string, count = 1): void {
  broker.onFrame(slot, { name: 'Interest', fields: { channel, count, wanted: count > 0 ? 1 : 0 } });
}

export function ask(broker: Broker, slot: number, fields: Partial<Frames['ReplayRequest']>): void {
  broker.onFrame(slot, {
    name: 'ReplayRequest',
    fields: {
      fd: 7,
      generation: 1,
      hasSince: 1,
      epoch: EPOCH,
      number: 0n,
      bytesMax: 32_768,
      channels: ['a'],
      ...fields,
    },
  });
}

export function port(ports: readonly FakePort[], slot: number): FakePort {
  const found = ports[slot];
  if (found === undefined) throw new RangeError(`no port ${slot}`);
  return found;
}

/** The frames sent to a worker, in short: `5` is the message of that number, `page 3,4>5` a page. */
export function story(frames: readonly Frame[]): string[] {
  return frames.map((frame) => {
    if (frame.name === 'Publish') return frame.fields.number.toString();
    if (frame.name === 'Kick') return `kick ${frame.fields.channel}`;
    if (frame.name !== 'ReplayPage') return frame.name;
    const { messages, head, flags } = frame.fields;
    const numbers = messagesIn(messages).map(({ number }) => number.toString());
    const isLast = (flags & ReplayPageFlag.last) !== 0;
    const isLost = (flags & ReplayPageFlag.lost) !== 0;
    return `page ${numbers.join(',')}>${head}${isLast ? '' : ' more'}${isLost ? ' lost' : ''}`;
  });
}
