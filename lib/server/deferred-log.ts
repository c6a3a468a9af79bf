// A log whose lines wait until flush(), so that they follow a line that is written later.
import type { Logger } from '../base/logger.js';

type Level = keyof Logger;

export class DeferredLog implements Logger {
  readonly #target: Logger;
  readonly #lines: { level: Level; fields: object; message: string }[] = [];

  constructor(target: Logger) {
    this.#target = target;
  }

  debug(fields: object, message: string): void {
    this.#lines.push({ level: 'debug', fields, message });
  }

  info(fields: object, message: string): void {
    this.#lines.push({ level: 'info', fields, message });
  }

  warn(fields: object, message: string): void {
    this.#lines.push({ level: 'warn', fields, message });
  }

  error(fields: object, message: string): void {
    this.#lines.push({ level: 'error', fields, message });
  }

  /** Writes the lines that wait, in their order. */
  flush(): void {
    for (const { level, fields, message } of this.#lines.splice(0)) {
      this.#target[level](fields, message);
    }
  }
}
