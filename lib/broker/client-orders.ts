// Orders of the application about clients that are connected: disconnecting them, and changing their
// channels. They go to the workers that may have such a client; only workers know users.
import { checkText } from '../base/call-check.js';
import { checkChannel, isPattern } from '../base/channel-name.js';
import { MegacometError } from '../base/errors.js';
import { TOKEN_NAME_BYTES_MAX } from '../base/native-constants.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { Interest } from './interest.js';
import { checkLabel } from './label.js';
import type { MemberOrders } from './member-orders.js';

/** The connections to close: those of a channel or pattern, of a user, one by its name, or all. */
export type DisconnectTarget =
  | {
      /** A channel or pattern. */
      readonly channel: string;
    }
  | {
      /** The claim `sub` of tokens. */
      readonly user: string;
    }
  | {
      /** The name of one connection, as in presence events. */
      readonly member: string;
    }
  | {
      /** Every connection. */
      readonly all: true;
    };

/** Channels of one order to subscribe or unsubscribe a user. */
export const USER_CHANNELS_MAX = 100;
/** Bytes of a reason for closing: the limit of a WebSocket close frame (RFC 6455, 5.5.1). */
const REASON_BYTES_MAX = 123;

function checkReason(reason: unknown): asserts reason is string {
  checkLabel('reason', reason);
  const bytes = Buffer.byteLength(reason);
  if (bytes > REASON_BYTES_MAX) {
    throw new MegacometError(
      'ERR_MESSAGE',
      `reason: ${bytes} bytes are more than ${REASON_BYTES_MAX}`,
    );
  }
}

/** @throws MegacometError `ERR_CHANNEL` */
export function checkNameOrPattern(channel: unknown): asserts channel is string {
  if (typeof channel !== 'string' || !isPattern(channel)) checkChannel(channel);
}

/**
 * Checks a list of channels, and removes repeated ones.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`, `ERR_CHANNEL`.
 */
export function checkedList(
  call: string,
  channels: readonly unknown[],
  most: number,
  check: (channel: unknown) => void,
): string[] {
  if (channels.length === 0 || channels.length > most) {
    const message = `${call}: channels: ${channels.length} names are not between 1 and ${most}`;
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }
  for (const channel of channels) check(channel);
  return [...new Set(channels as readonly string[])];
}

export interface ClientOrdersParts {
  readonly lines: Pick<WorkerLines, 'send'>;
  readonly interest: Interest;
  readonly members: Pick<MemberOrders, 'disconnect'>;
  /** All workers. */
  readonly slots: () => readonly number[];
  /** Throws where the server knows no users. */
  readonly checkHasUsers: (call: string) => void;
}

export class ClientOrders {
  readonly #parts: ClientOrdersParts;

  constructor(parts: ClientOrdersParts) {
    this.#parts = parts;
  }

  /**
   * Checks the arguments of disconnect().
   *
   * @throws MegacometError `ERR_CHANNEL`; `ERR_MESSAGE` for a reason of more than 123 bytes;
   *   `ERR_OPTION_INVALID`.
   */
  checkDisconnect(target: DisconnectTarget, reason: unknown): asserts reason is string {
    checkReason(reason);
    if ('channel' in target) checkNameOrPattern(target.channel);
    else if ('user' in target) this.#checkUser('disconnect', target.user);
  }

  /**
   * Closes connections. The arguments are checked.
   *
   * @returns Subscribers known of a channel; 1 for a member, or 0 if no open connection has this
   *   name; 0 for a user and for all, because the manager counts neither.
   * @throws MegacometError `ERR_BUSY` if the worker of a member does not answer.
   */
  disconnect(target: DisconnectTarget, reason: string): Promise<number> | number {
    if ('channel' in target) return this.#disconnectChannel(target.channel, reason);
    if ('member' in target) return this.#parts.members.disconnect(target.member, reason);
    if ('user' in target) this.#disconnectUser(target.user, reason);
    else this.#send(encodeFrame('Kick', { channel: '', reason }));
    return 0;
  }

  /**
   * Checks the arguments of changeChannels(), and removes repeated channels.
   *
   * @throws MegacometError `ERR_CHANNEL`, `ERR_OPTION_INVALID`.
   */
  checkChannels(user: string, channels: readonly string[], isOn: boolean): string[] {
    const call = isOn ? 'subscribe' : 'unsubscribe';
    this.#checkUser(call, user);
    return checkedList(call, channels, USER_CHANNELS_MAX, checkNameOrPattern);
  }

  /**
   * Subscribes the WebSockets of a user to channels, or unsubscribes all connections of the user. The
   * arguments are checked.
   */
  changeChannels(user: string, channels: readonly string[], isOn: boolean): void {
    this.#send(encodeFrame('UserChannels', { user, channels, on: Number(isOn) }));
  }

  #disconnectChannel(channel: string, reason: string): number {
    const { lines, interest } = this.#parts;
    lines.send(encodeFrame('Kick', { channel, reason }), interest.workersFor(channel));
    return interest.subscribers(channel);
  }

  #disconnectUser(user: string, reason: string): void {
    this.#send(encodeFrame('DisconnectUser', { user, reason }));
  }

  #checkUser(call: string, user: string): void {
    this.#parts.checkHasUsers(call);
    checkText(`${call}: user`, user, TOKEN_NAME_BYTES_MAX);
  }

  #send(frame: Buffer): void {
    this.#parts.lines.send(frame, this.#parts.slots());
  }
}
