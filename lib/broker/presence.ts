// Who subscribes to what, by connection: asked of the workers when somebody wants to know, and told
// by them while somebody listens. Nothing of it is kept here: a million names would be.
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { Frames } from '../ipc/frames.js';
import type { WorkerLines } from '../ipc/outgoing.js';

/** A subscriber that came or went. */
export interface MemberEvent {
  /** A channel, or a pattern that it subscribed to. */
  readonly channel: string;
  /** Names the connection for as long as it lasts, and none after it. */
  readonly member: string;
}

/** Who subscribes to a channel. */
export interface ChannelPresence {
  /** The channel or pattern asked for. */
  readonly channel: string;
  /** Subscribers known, at most 100 ms old. */
  readonly subscribers: number;
  /** Connections, in no order; no more than were asked for. */
  readonly members: readonly string[];
  /** False where `members` are not all: there are more, or a worker did not answer. */
  readonly isComplete: boolean;
}

/** Where a connection is. */
export interface MemberPlace {
  readonly slot: number;
  readonly fd: number;
  readonly generation: number;
}

/** Members in an answer unless told otherwise; a page of a worker has as many. */
const MEMBERS_DEFAULT = 10_000;
/** A worker that is stuck for longer is the manager's business, and not waited for. */
const ANSWER_MS = 5000;
/** Questions at once: each may gather a hundred thousand names. */
const QUESTIONS_MAX = 64;
/** The place of the first page: all of a row, however long. */
const ALL = 0xffff_ffff;

const MEMBER = /^([0-9a-z]{1,3})-([0-9a-z]{1,8})-([0-9a-z]{1,7})-([0-9a-z]{1,7})$/;

interface Question {
  readonly channel: string;
  readonly limit: number;
  readonly members: string[];
  /** Slots whose last page is not there. */
  readonly waiting: Set<number>;
  isComplete: boolean;
  readonly finish: () => void;
}

export class Presence {
  readonly #lines: Pick<WorkerLines, 'send'>;
  /** How many workers a slot has had: a connection of an earlier one has another name. */
  readonly #lives = new Map<number, number>();
  readonly #present = new Set<number>();
  readonly #questions = new Map<number, Question>();
  #lastQuestion = 0;
  #arePresenceEventsOn = false;

  constructor(lines: Pick<WorkerLines, 'send'>) {
    this.#lines = lines;
  }

  /** Whether workers tell of every subscriber that comes or goes. */
  observe(arePresenceEventsOn: boolean): void {
    if (arePresenceEventsOn === this.#arePresenceEventsOn) return;
    this.#arePresenceEventsOn = arePresenceEventsOn;
    this.#lines.send(encodeFrame('PresenceEvents', { on: Number(arePresenceEventsOn) }), [
      ...this.#present,
    ]);
  }

  attach(slot: number): void {
    this.#lives.set(slot, (this.#lives.get(slot) ?? 0) + 1);
    this.#present.add(slot);
    if (this.#arePresenceEventsOn)
      this.#lines.send(encodeFrame('PresenceEvents', { on: 1 }), [slot]);
  }

  workerGone(slot: number): void {
    this.#present.delete(slot);
    // Its subscribers are gone with it.
    for (const question of [...this.#questions.values()]) this.#answered(question, slot);
  }

  /** True while no further question is taken. */
  get isBusy(): boolean {
    return this.#questions.size >= QUESTIONS_MAX;
  }

  /** Asks the workers that have subscribers of a channel. */
  ask(
    channel: string,
    slots: readonly number[],
    subscribers: () => number,
    limit = MEMBERS_DEFAULT,
  ): Promise<ChannelPresence> {
    return new Promise((resolve) => {
      this.#lastQuestion = (this.#lastQuestion + 1) >>> 0;
      const id = this.#lastQuestion;
      const timer = setTimeout(() => {
        question.isComplete = false;
        question.finish();
      }, ANSWER_MS);
      const question: Question = {
        channel,
        limit,
        members: [],
        waiting: new Set(slots),
        isComplete: true,
        finish: () => {
          clearTimeout(timer);
          this.#questions.delete(id);
          const { members, isComplete } = question;
          resolve({ channel, subscribers: subscribers(), members, isComplete });
        },
      };
      this.#questions.set(id, question);
      if (slots.length === 0) question.finish();
      else this.#lines.send(encodeFrame('Query', { question: id, channel, below: ALL }), slots);
    });
  }

  /** A worker's page of members. */
  onPresent(slot: number, { question: id, below, members }: Frames['Present']): void {
    const question = this.#questions.get(id);
    if (question?.waiting.has(slot) !== true) return;
    const count = members.length / 2;
    const room = question.limit - question.members.length;
    for (let at = 0; at < Math.min(count, room); at++) {
      const name = this.#nameOf(slot, members[2 * at] ?? 0, members[2 * at + 1] ?? 0);
      question.members.push(name);
    }
    if (count > room || (below > 0 && count === room)) {
      question.isComplete = false;
      question.finish();
    } else if (below > 0) {
      const { channel } = question;
      this.#lines.send(encodeFrame('Query', { question: id, channel, below }), [slot]);
    } else {
      this.#answered(question, slot);
    }
  }

  /** What a worker's Presence frame says. */
  eventOf(slot: number, { channel, fd, generation }: Frames['Presence']): MemberEvent {
    return { channel, member: this.#nameOf(slot, fd, generation) };
  }

  /** Where a member is; null for what names nobody who is there now. */
  placeOf(member: string): MemberPlace | null {
    const parts = MEMBER.exec(member);
    if (parts === null) return null;
    const [slot = 0, life = 0, fd = 0, generation = 0] = parts
      .slice(1)
      .map((part) => parseInt(part, 36));
    const isThere = this.#present.has(slot) && this.#lives.get(slot) === life;
    return isThere && fd < 2 ** 32 && generation < 2 ** 32 ? { slot, fd, generation } : null;
  }

  #answered(question: Question, slot: number): void {
    if (question.waiting.delete(slot) && question.waiting.size === 0) question.finish();
  }

  #nameOf(slot: number, fd: number, generation: number): string {
    const life = this.#lives.get(slot) ?? 0;
    return [slot, life, fd, generation].map((part) => part.toString(36)).join('-');
  }
}
