// The frames of workers, each for the part of the broker that it is about.
import { isChannel, isPattern } from '../base/channel-name.js';
import type { Frame, Frames } from '../ipc/frames.js';
import type { ClientMessage, ClientPublishing } from './client-publishing.js';
import type { ClientRequests } from './client-requests.js';
import type { Interest } from './interest.js';
import type { JoinLeave } from './join-leave.js';
import type { LoopIteration } from './loop-iteration.js';
import type { Mailboxes } from './mailboxes.js';
import type { MemberOrders } from './member-orders.js';
import type { MemberEvent, Presence } from './presence.js';
import type { Recovery } from './recovery.js';

export interface WorkerFramesParts {
  readonly iteration: LoopIteration;
  readonly interest: Interest;
  readonly recovery: Recovery;
  readonly clients: ClientPublishing;
  readonly presence: Presence;
  readonly members: MemberOrders;
  readonly joinLeave: JoinLeave;
  readonly requests: ClientRequests;
  readonly mailboxes: Mailboxes;
  /** Whether a channel has messages about its subscribers. */
  readonly hasJoinLeave: (channel: string) => boolean;
  readonly onMessage: (message: ClientMessage) => void;
  /** While presence events are on. */
  readonly onPresence: (name: 'subscribe' | 'unsubscribe', event: MemberEvent) => void;
  /** A worker breaks its protocol. */
  readonly onOverflow: (slot: number) => void;
}

export class WorkerFrames {
  readonly #parts: WorkerFramesParts;

  constructor(parts: WorkerFramesParts) {
    this.#parts = parts;
  }

  /** Frames for other parts of the manager are ignored. */
  onFrame(slot: number, frame: Frame): void {
    const { iteration, interest, recovery, presence, requests, onOverflow } = this.#parts;
    switch (frame.name) {
      case 'Interest':
        this.#onInterest(slot, frame.fields);
        return;
      case 'InterestEnd':
        interest.reported(slot, frame.fields.request);
        return;
      case 'ReplayRequest':
        iteration.scheduleFlush();
        if (!recovery.onRequest(slot, frame.fields)) onOverflow(slot);
        return;
      case 'Message':
        void this.#publish(slot, frame.fields);
        return;
      case 'Presence':
        this.#onPresence(slot, frame.fields);
        return;
      case 'Present':
        if (!presence.onPresent(slot, frame.fields)) onOverflow(slot);
        return;
      case 'Disconnected':
        this.#parts.members.onDisconnected(slot, frame.fields);
        return;
      case 'ClientRequest':
        iteration.scheduleFlush();
        if (!requests.onRequest(slot, frame.fields)) onOverflow(slot);
        return;
      default:
        this.#parts.mailboxes.onFrame(slot, frame);
    }
  }

  /** An error that is none of the client's is a bug, and ends the process. */
  async #publish(slot: number, fields: Frames['Message']): Promise<void> {
    const message = await this.#parts.clients.onMessage(slot, fields);
    if (message !== null) this.#parts.onMessage(message);
  }

  #onInterest(slot: number, { channel, count, wanted }: Frames['Interest']): void {
    // Workers check the names of their subscribers; an invalid one would damage the tables.
    if (!isPattern(channel) && !isChannel(channel)) return;
    this.#parts.interest.set(slot, channel, count, wanted === 1);
  }

  #onPresence(slot: number, fields: Frames['Presence']): void {
    const { presence, joinLeave, iteration, hasJoinLeave, onPresence } = this.#parts;
    const event = presence.eventOf(slot, fields);
    const hasJoined = fields.present === 1;
    if (presence.areEventsOn) onPresence(hasJoined ? 'subscribe' : 'unsubscribe', event);
    if (!hasJoinLeave(event.channel)) return;
    if (!iteration.isClosed) void joinLeave.onEvent(hasJoined ? 'join' : 'leave', event);
  }
}
