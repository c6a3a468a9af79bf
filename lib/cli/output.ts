// The output of all commands. A reader that closes its pipe ends the output quietly; any other
// failure of standard output is an error of the command, in words.
import type { Writable } from 'node:stream';

import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';
import { columnsOf, movesCursor, type OutputShape } from '../base/terminal.js';

type Environment = Readonly<Record<string, string | undefined>>;

const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';

/** `CSI 2 K` clears a line, `CSI 1 A` moves the cursor up: to the start of the block before. */
const upAndClear = (lines: number): string => `${'\u001b[2K\u001b[1A'.repeat(lines)}\u001b[2K\r`;

export class Output {
  readonly #stream: Writable & OutputShape;
  readonly #movesCursor: boolean;
  #isClosed = false;
  #error: NodeJS.ErrnoException | undefined;
  /** All writes so far. */
  #written: Promise<void> = Promise.resolve();
  /** Lines of the block that the next {@link redraw} replaces. */
  #drawn = 0;

  constructor(stream: Writable & OutputShape, env: Environment) {
    this.#stream = stream;
    this.#movesCursor = movesCursor(stream, env);
    // Without a listener, Node ends the process with a stack trace.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#fail(error);
    });
  }

  /** Columns of the terminal, or 80. */
  get columns(): number {
    return columnsOf(this.#stream);
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /**
   * Writes a text and a line feed. Resolves to false when the reader has closed: an endless command
   * then ends.
   *
   * @throws MegacometError `ERR_WRITE`.
   */
  print(text: string): Promise<boolean> {
    return this.#write(`${text}\n`);
  }

  /** Writes a text as it is. Resolves as {@link print} does. @throws MegacometError `ERR_WRITE` */
  write(text: string): Promise<boolean> {
    return this.#write(text);
  }

  /**
   * Writes a block in place of the one before. Where the cursor does not move, it writes the blocks
   * one after the other, separated by an empty line.
   *
   * @throws MegacometError `ERR_WRITE`.
   */
  redraw(text: string): Promise<boolean> {
    const { columns, rows = 0 } = this.#stream;
    if (!this.#movesCursor) {
      const gap = this.#drawn > 0 ? '\n' : '';
      this.#drawn = 1;
      return this.#write(`${gap}${text}\n`);
    }
    // A line that wraps, or a block higher than the screen, would leave remains of the one before.
    const wide = columns === undefined || columns === 0 ? Infinity : columns;
    const lines = text.split('\n').map((line) => line.slice(0, wide));
    const shown = rows > 1 ? lines.slice(0, rows - 1) : lines;
    const before = this.#drawn > 0 ? upAndClear(this.#drawn) : HIDE_CURSOR;
    this.#drawn = shown.length;
    return this.#write(`${before}${shown.join('\n')}\n`);
  }

  /** Shows the cursor again that {@link redraw} hides. */
  release(): void {
    if (this.#movesCursor && this.#drawn > 0) this.queue(SHOW_CURSOR);
  }

  /** Waits for all writes. @throws MegacometError `ERR_WRITE` */
  async flush(): Promise<void> {
    await this.#written;
    const error = this.#error;
    // Thrown once: the command and the end of the program both wait here.
    this.#error = undefined;
    if (error !== undefined) {
      throw new MegacometError(
        'ERR_WRITE',
        `standard output cannot be written: ${reasonOf(error)}`,
      );
    }
  }

  /** Writes a text; {@link flush} reports a failure. */
  queue(text: string): void {
    if (this.#isClosed) return;
    const written = new Promise<void>((resolve) => {
      this.#stream.write(text, (error) => {
        if (error instanceof Error) this.#fail(error);
        resolve();
      });
    });
    this.#written = Promise.all([this.#written, written]).then(() => undefined);
  }

  async #write(text: string): Promise<boolean> {
    this.queue(text);
    await this.flush();
    return !this.#isClosed;
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.#isClosed = true;
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') this.#error ??= error;
  }
}

/** A count with its noun: `1 subscriber`, `2 subscribers`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Writes one sentence on standard error. A sentence without a reader is dropped. */
export function warn(sentence: string): void {
  process.stderr.write(`megacomet-ts: ${sentence}\n`);
}
