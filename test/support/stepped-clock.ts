// The wall clock of a program, which the test sets; test/support/clock.c reads it.
import { mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { compile, type Test } from './helpers.js';

const SHARED = ['-shared', '-fPIC'];

export class SteppedClock {
  readonly #folder: string;
  readonly #shim: string;

  constructor(test: Test) {
    this.#folder = mkdtempSync(join(tmpdir(), 'megacomet-clock-'));
    test.teardown(() => {
      rmSync(this.#folder, { recursive: true, force: true });
    });
    this.#shim = compile(test, 'clock.c', ...SHARED);
  }

  /** Sets the clock to the real time and this difference. */
  step(seconds: number): void {
    // By renaming: the program must not read half a number.
    writeFileSync(join(this.#folder, 'next'), String(seconds));
    renameSync(join(this.#folder, 'next'), join(this.#folder, 'offset'));
  }

  /** Whether a process of the program has read a shifted time. */
  get isSeen(): boolean {
    return readdirSync(this.#folder).some((name) => name.startsWith('seen-'));
  }

  /** The environment of a program with this clock. */
  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#shim, TMPDIR: this.#folder };
  }
}
