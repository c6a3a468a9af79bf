// One application that is connected to --ingest: its messages go into mailboxes in their order.
import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';

import { isChannel } from '../base/channel-name.js';
import { MegacometError } from '../base/errors.js';
import { CHANNEL_BYTES_MAX } from '../base/native-constants.js';
import { IngestFault, IngestParser, type IngestCommand } from './ingest-parser.js';

/** The mailboxes, which keep messages until clients fetch them. */
export interface DeliveryTarget {
  /**
   * Puts a message into a mailbox.
   *
   * @returns A promise while it is on its way to a log; undefined if it is in its mailbox.
   * @throws MegacometError at once, or as a rejection; with one of RETRY_CODES when a later attempt
   *   may succeed.
   */
  deliver(id: string, message: Buffer): Promise<void> | undefined;
}

/** ERR_NOT_RUNNING: the server is starting, or about to end. ERR_LOG: its log is not available. */
const RETRY_CODES: readonly string[] = ['ERR_BUSY', 'ERR_LOG', 'ERR_NOT_RUNNING'];

export interface IngestOptions {
  /** Bytes of one message. */
  readonly messageBytesMax: number;
  /** Longest time from the first byte of a command to its last. Between commands it is not limited. */
  readonly insideTimeoutMs?: number;
}

/** Commands of one application in one loop iteration: about 2 ms. */
const COMMANDS_PER_ITERATION = 1000;
/** Pause of a connection whose message the server could not take. */
const BUSY_RETRY_MS = 20;
const KEEPALIVE_MS = 60_000;

/** Values that all connections of a server share. */
export class IngestTotals {
  isClosed = false;
  announced = 0;
  messages = 0;
  rejected = 0;
  faults = 0;
}

/** A message on its way to the log. */
interface UnderWay {
  readonly command: IngestCommand;
  readonly delivery: Promise<void>;
}

/** One application's connection. */
export class IngestApplication {
  readonly #socket: Socket;
  readonly #parser: IngestParser;
  readonly #target: DeliveryTarget;
  readonly #totals: IngestTotals;
  readonly #insideTimeoutMs: number;
  /** Runs while a command is incomplete. */
  #timer: NodeJS.Timeout | undefined;
  /** Messages that the server could not take, in their order. */
  #held: IngestCommand[] = [];
  /** Messages of the present iteration that are on their way to the log. */
  #underWay: UnderWay[] = [];
  #hasFault = false;

  constructor(
    socket: Socket,
    target: DeliveryTarget,
    options: Required<IngestOptions>,
    totals: IngestTotals,
  ) {
    this.#socket = socket;
    this.#target = target;
    this.#totals = totals;
    const { messageBytesMax, insideTimeoutMs } = options;
    this.#parser = new IngestParser({ idBytesMax: CHANNEL_BYTES_MAX, messageBytesMax });
    socket.setKeepAlive(true, KEEPALIVE_MS);
    this.#insideTimeoutMs = insideTimeoutMs;
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#stopTimer();
    });
    socket.on('data', (chunk: Buffer) => {
      this.#parser.feed(chunk);
      this.#work();
    });
  }

  #end(): void {
    this.#hasFault = true;
    this.#totals.faults++;
    this.#socket.destroy();
  }

  /** Handles the received commands, or stops reading until the server can follow. */
  #work(): void {
    if (this.#totals.isClosed) return;
    // Also after the connection closed: its complete commands still count.
    const commands = this.#handleAll();
    if (this.#underWay.length > 0) {
      this.#later((work) => void this.#settle().then(work));
    } else if (this.#held.length > 0) {
      this.#later((work) => setTimeout(work, BUSY_RETRY_MS));
    } else if (commands === COMMANDS_PER_ITERATION) {
      this.#later(setImmediate);
    } else {
      this.#time(commands > 0);
      this.#socket.resume();
    }
  }

  /**
   * Handles commands until none is complete, the server cannot take one, or the iteration has enough.
   *
   * @returns Their number.
   */
  #handleAll(): number {
    const held = this.#held;
    this.#held = [];
    for (let commands = 0; commands < COMMANDS_PER_ITERATION; commands++) {
      const command = held.shift() ?? this.#next();
      if (command === null) return commands;
      if (!this.#handle(command)) {
        this.#held = [command, ...held];
        return commands;
      }
    }
    this.#held = held;
    return COMMANDS_PER_ITERATION;
  }

  /** The next received command; null if none is complete, and after a malformed one. */
  #next(): IngestCommand | null {
    if (this.#hasFault) return null;
    try {
      return this.#parser.next();
    } catch (error) {
      if (!(error instanceof IngestFault)) throw error;
      this.#end();
      return null;
    }
  }

  /**
   * Waits until the log has answered for all messages on their way. Those that it did not take go
   * before all later ones.
   */
  async #settle(): Promise<void> {
    const underWay = this.#underWay;
    this.#underWay = [];
    const areDone = await Promise.all(
      underWay.map(({ delivery }) =>
        delivery.then(
          () => this.#count(),
          (error: unknown) => this.#isDone(error),
        ),
      ),
    );
    const failed = underWay.filter((_, index) => areDone[index] === false);
    if (failed.length === 0) return;
    this.#held.unshift(...failed.map(({ command }) => command));
    await new Promise((resolve) => setTimeout(resolve, BUSY_RETRY_MS));
  }

  /** Times the incomplete command. A byte now and then must not keep a connection without end. */
  #time(isAnother: boolean): void {
    if (!this.#parser.isInside || isAnother) this.#stopTimer();
    if (!this.#parser.isInside || this.#socket.destroyed) return;
    this.#timer ??= setTimeout(() => {
      this.#end();
    }, this.#insideTimeoutMs);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #later(schedule: (work: () => void) => unknown): void {
    // The rest is not read meanwhile: its sender is not late.
    this.#stopTimer();
    this.#socket.pause();
    schedule(() => {
      this.#work();
    });
  }

  /** False if the server is busy, and the command has to be retried. */
  #handle(command: IngestCommand): boolean {
    if (command.name === 'announce') {
      this.#totals.announced++;
      return true;
    }
    const id = command.id.toString();
    // Decoding an id that is not UTF-8 could give the id of another client.
    if (!isUtf8(command.id) || !isChannel(id)) {
      this.#totals.rejected++;
      return true;
    }
    try {
      const delivery = this.#target.deliver(id, command.message);
      if (delivery === undefined) return this.#count();
      this.#underWay.push({ command, delivery });
    } catch (error) {
      return this.#isDone(error);
    }
    return true;
  }

  #count(): true {
    this.#totals.messages++;
    return true;
  }

  /** False if a message that was rejected has to be retried. */
  #isDone(error: unknown): boolean {
    if (!(error instanceof MegacometError)) throw error;
    if (RETRY_CODES.includes(error.code)) return false;
    this.#totals.rejected++;
    return true;
  }
}
