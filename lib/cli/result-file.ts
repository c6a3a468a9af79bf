// A file for the result of a long run: opened before the run, so that a wrong path fails at once.
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:fs';

import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';

export class ResultFile {
  readonly #option: string;
  readonly #path: string;
  readonly #fd: number;
  readonly #isNew: boolean;
  #isWritten = false;

  /** @throws MegacometError `ERR_WRITE` */
  constructor(option: string, path: string) {
    this.#option = option;
    this.#path = path;
    this.#isNew = !existsSync(path);
    try {
      // An older result stays until the new one replaces it.
      this.#fd = openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o666);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** @throws MegacometError `ERR_WRITE` */
  write(text: string): void {
    const bytes = Buffer.from(text);
    try {
      if (fstatSync(this.#fd).isFile()) ftruncateSync(this.#fd);
      for (let sent = 0; sent < bytes.length;) sent += writeSync(this.#fd, bytes, sent);
      this.#isWritten = true;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Removes a file that was made for nothing. */
  close(): void {
    closeSync(this.#fd);
    if (this.#isNew && !this.#isWritten) rmSync(this.#path, { force: true });
  }

  #failure(error: unknown): MegacometError {
    return new MegacometError(
      'ERR_WRITE',
      `${this.#option}: "${this.#path}" cannot be written: ${reasonOf(error)}`,
    );
  }
}
