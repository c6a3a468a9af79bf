// The polls of this node's workers, by their address.
import type { Frames } from '../ipc/frames.js';
import { MailboxPoll, type Mailbox } from './mailbox.js';

/** The address of a poll within its worker. */
export type PollAddress = Frames['MailboxNack'];

export class MailboxPolls {
  /** By slot and descriptor. */
  readonly #bySlot = new Map<number, Map<number, MailboxPoll>>();

  get size(): number {
    return [...this.#bySlot.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /** The poll of a connection, also one of an earlier connection with the same descriptor. */
  find(slot: number, fd: number): MailboxPoll | null {
    return this.#bySlot.get(slot)?.get(fd) ?? null;
  }

  /** Begins a poll at an address without one. */
  begin(mailbox: Mailbox, slot: number, { fd, generation }: PollAddress): void {
    let polls = this.#bySlot.get(slot);
    if (polls === undefined) this.#bySlot.set(slot, (polls = new Map<number, MailboxPoll>()));
    const poll = new MailboxPoll(mailbox, slot, fd, generation);
    polls.set(fd, poll);
    mailbox.polls.push(poll);
  }

  /** Ends the poll at an address; null if it ended before. */
  end(slot: number, { fd, generation }: PollAddress): MailboxPoll | null {
    const polls = this.#bySlot.get(slot);
    const poll = polls?.get(fd);
    if (polls === undefined || poll?.generation !== generation) return null;
    polls.delete(fd);
    return poll;
  }

  /** Ends all polls of a worker. */
  endAll(slot: number): readonly MailboxPoll[] {
    const polls = [...(this.#bySlot.get(slot)?.values() ?? [])];
    this.#bySlot.delete(slot);
    return polls;
  }
}
