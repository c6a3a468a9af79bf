// A start as a list of named steps, each with its undo. After success or failure, undo() closes all
// that the steps have opened, in reverse order.

/** One step of a start. */
export interface Step {
  readonly name: string;
  run(): Promise<void> | void;
  /** Closes what run() has opened. It also runs after a run() that failed halfway. */
  undo?(): Promise<void> | void;
}

export class Startup {
  readonly #steps: readonly Step[];
  /** Steps whose run() began and whose undo() has not run. */
  readonly #begun: Step[] = [];
  #running: Promise<void> | undefined;

  constructor(steps: readonly Step[]) {
    this.#steps = steps;
  }

  /**
   * Runs the steps in order.
   *
   * @param check - Called after each step; an error that it throws ends the start.
   */
  run(check: () => void): Promise<void> {
    this.#running = this.#run(check);
    return this.#running;
  }

  async #run(check: () => void): Promise<void> {
    for (const step of this.#steps) {
      this.#begun.push(step);
      await step.run();
      check();
    }
  }

  /**
   * Waits for the step that is running, then undoes all that have begun, the last one first. An
   * undo that fails does not stop the others.
   *
   * @throws The first error of an undo.
   */
  async undo(): Promise<void> {
    // The caller of run() gets its error.
    await this.#running?.catch(() => undefined);
    const errors: unknown[] = [];
    for (let step = this.#begun.pop(); step !== undefined; step = this.#begun.pop()) {
      try {
        await step.undo?.();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}
