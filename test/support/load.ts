// Load and checks for whole-server tests that kill or freeze a process meanwhile.
import { setTimeout as sleep } from 'node:timers/promises';

import type { Stats } from '../../lib/stats/stats.js';
import { Clients, echoes, type Test, type TestServer } from './helpers.js';

/** Clients that connect at a steady rate; each sends a byte, expects its echo and stays. */
export class Load {
  readonly clients = new Clients();
  /** The failures of clients that were not served: rejected, reset, or not answered in time. */
  readonly failures: string[] = [];
  served = 0;
  readonly #target: number | string;
  readonly #timer: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<void>>();
  #onQuiet: (() => void) | undefined;
  #opened = 0;

  constructor(test: Test, target: number | string, perSecond: number) {
    this.#target = target;
    const startedAtMs = performance.now();
    this.#timer = setInterval(() => {
      if (this.#onQuiet !== undefined) return;
      const due = ((performance.now() - startedAtMs) * perSecond) / 1000;
      for (; this.#opened < due; this.#opened++) this.#open();
    }, 1);
    test.teardown(() => {
      clearInterval(this.#timer);
      this.clients.destroy();
    });
  }

  /**
   * Runs an action while no client is between its connect and its answer, so that a worker that the
   * action kills has no accepted client without an answer. Until then no client connects.
   */
  whenQuiet(action: () => void): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = () => {
        action();
        resolve();
      };
      this.#checkQuiet();
    });
  }

  #checkQuiet(): void {
    if (this.#underWay.size > 0) return;
    this.#onQuiet?.();
    this.#onQuiet = undefined;
  }

  /** Opens no more clients and waits for the pending ones. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
  }

  #open(): void {
    const client = this.#serve().finally(() => {
      this.#underWay.delete(client);
      this.#checkQuiet();
    });
    this.#underWay.add(client);
  }

  async #serve(): Promise<void> {
    try {
      const socket = await this.clients.add(this.#target);
      if (await echoes(socket, Buffer.from('x'), 30_000)) this.served++;
      else this.failures.push('reset, or not answered');
    } catch (error) {
      this.failures.push((error as NodeJS.ErrnoException).code ?? 'unknown');
    }
  }
}

/** Polls the totals and records each one that decreased. */
export class TotalsWatch {
  readonly fallen: string[] = [];
  #isStopping = false;
  readonly #ended: Promise<void>;

  constructor(server: TestServer) {
    this.#ended = this.#watch(server);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#ended;
  }

  async #watch(server: TestServer): Promise<void> {
    let before: Stats['totals'] = {};
    while (!this.#isStopping) {
      const { totals } = await server.stats();
      for (const [name, value] of Object.entries(totals)) {
        if (name.endsWith('Total') && value < (before[name] ?? 0)) this.fallen.push(name);
      }
      before = totals;
      await sleep(20);
    }
  }
}

/** With spin.c preloaded, a worker that reads these bytes never returns from the read. */
export const SPIN = Buffer.from('!spin without end!');
