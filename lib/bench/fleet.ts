// The dialer processes of one bench run: starts them, sends orders, and adds up their reports.
import { MegacometError } from '../base/errors.js';
import { LOAD_FRAMES } from '../ipc/load-frame-codecs.js';
import {
  DialPhase,
  type OwnLoadFrameName,
  type LoadFrame,
  type LoadFrames,
} from '../ipc/load-frames.js';
import { AddonProcess } from '../ipc/spawn.js';
import { childSystem } from '../system/child-system.js';

/** Sums over all dialers; times in seconds since the phase began. */
export interface FleetProgress {
  readonly seconds: number;
  readonly opened: number;
  readonly failed: number;
  /** Causes of the failed connects, and of the lost connections: errno and count, see Failures. */
  readonly failures: ReadonlyMap<number, number>;
  readonly losses: ReadonlyMap<number, number>;
  /** The texts of those causes that are of TLS. */
  readonly names: ReadonlyMap<number, string>;
  /** The sum of `losses`. */
  readonly lost: number;
  /** Of the current phase: connections that were sent a message. */
  readonly asked: number;
  readonly answered: number;
  readonly wrong: number;
  /** Connections of `asked` that were lost before the end of an echo, or that had none at all. */
  readonly broken: number;
  readonly silent: number;
  readonly messages: number;
  /** Messages to subscribers, and reports that messages are gone, since the start. */
  readonly received: number;
  readonly gaps: number;
}

/** The delivery times of one message to the subscribers of one dialer. */
export type DeliveryTimes = LoadFrames['DeliveryTimes'];

/** The reports of a finished phase. */
export interface PhaseEnd {
  readonly progress: FleetProgress;
  /** Count by latency bucket of native/base/histogram.h. */
  readonly buckets: ReadonlyMap<number, number>;
  /** Microseconds; Infinity and 0 when nothing was measured. */
  readonly minUs: number;
  readonly maxUs: number;
}

const START_DEADLINE_MS = 30_000;

interface Dialer {
  readonly process: AddonProcess<LoadFrames, OwnLoadFrameName>;
  isReady: boolean;
  finishedPhase: number;
  progress: LoadFrames['Progress'] | undefined;
  failures: LoadFrames['Failures'];
  latency: LoadFrames['Latency'] | undefined;
  deliveries: DeliveryTimes[];
}

function addPairs(into: Map<number, number>, pairs: readonly number[]): void {
  for (let index = 0; index + 1 < pairs.length; index += 2) {
    const key = pairs[index] ?? 0;
    into.set(key, (into.get(key) ?? 0) + (pairs[index + 1] ?? 0));
  }
}

export class Fleet {
  readonly #dialers: Dialer[] = [];
  /** Dialers that died: the counts of a run include them. */
  readonly #dead: Dialer[] = [];
  #error: Error | undefined;
  #isClosing = false;
  /** Checks the condition that the run waits for. Called after every frame. */
  #onChange: () => void = () => undefined;

  get size(): number {
    return this.#dialers.length;
  }

  /**
   * Starts `count` dialers, a few at a time, and waits until all are ready.
   *
   * @throws MegacometError `ERR_WORKER_START`.
   */
  async start(count: number, inFlightMax: number): Promise<void> {
    const timer = setTimeout(() => {
      this.fail(
        new MegacometError(
          'ERR_WORKER_START',
          `the dialers were not ready within ${START_DEADLINE_MS / 1000} s`,
        ),
      );
    }, START_DEADLINE_MS);
    try {
      while (this.#dialers.length < count) {
        const ready = (): number => this.#dialers.filter((dialer) => dialer.isReady).length;
        await this.#until(() => this.#dialers.length - ready() < inFlightMax);
        this.#startOne();
      }
      await this.#until(() => this.#dialers.every((dialer) => dialer.isReady));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends an order to each dialer; `fields` returns the fields for the index of a dialer. */
  order<N extends OwnLoadFrameName>(name: N, fields: (index: number) => LoadFrames[N]): void {
    this.#dialers.forEach((dialer, index) => {
      dialer.finishedPhase = 0;
      dialer.process.send(name, fields(index));
    });
  }

  hasFinished(phase: number): boolean {
    return this.#dialers.every((dialer) => dialer.finishedPhase === phase);
  }

  /** Waits until every dialer has finished the phase. */
  async finish(phase: number): Promise<PhaseEnd> {
    await this.#until(() => this.hasFinished(phase));
    const buckets = new Map<number, number>();
    let minUs = Infinity;
    let maxUs = 0;
    for (const dialer of this.#dialers) {
      if (dialer.latency === undefined || dialer.latency.buckets.length === 0) continue;
      addPairs(buckets, dialer.latency.buckets);
      minUs = Math.min(minUs, Number(dialer.latency.minUs));
      maxUs = Math.max(maxUs, Number(dialer.latency.maxUs));
    }
    return { progress: this.progress(), buckets, minUs, maxUs };
  }

  progress(): FleetProgress {
    const all = [...this.#dialers, ...this.#dead];
    const sum = (pick: (progress: LoadFrames['Progress']) => bigint | number): number =>
      all.reduce(
        (total, { progress }) => total + (progress === undefined ? 0 : Number(pick(progress))),
        0,
      );
    const slowest = all.map(({ progress }) => Number(progress?.elapsedUs ?? 0));
    const failures = new Map<number, number>();
    const losses = new Map<number, number>();
    const names = new Map<number, string>();
    for (const dialer of all) {
      const { named, names: texts } = dialer.failures;
      named.forEach((cause, index) => names.set(cause, texts[index] ?? ''));
      addPairs(failures, dialer.failures.counts);
      addPairs(losses, dialer.failures.losses);
    }
    return {
      failures,
      losses,
      names,
      seconds: Math.max(0, ...slowest) / 1e6,
      opened: sum((progress) => progress.opened),
      failed: sum((progress) => progress.failed),
      lost: [...losses.values()].reduce((total, count) => total + count, 0),
      asked: sum((progress) => progress.asked),
      broken: sum((progress) => progress.broken),
      silent: sum((progress) => progress.silent),
      answered: sum((progress) => progress.answered),
      wrong: sum((progress) => progress.wrong),
      messages: sum((progress) => progress.messages),
      received: sum((progress) => progress.received),
      gaps: sum((progress) => progress.gaps),
    };
  }

  /** Collects the delivery times of the latest messages and clears them. Between phases only. */
  async gather(): Promise<DeliveryTimes[]> {
    for (const dialer of this.#dialers) dialer.deliveries = [];
    this.order('Gather', () => ({ forgets: 1 }));
    await this.finish(DialPhase.gather);
    return this.#dialers.flatMap(({ deliveries }) => deliveries);
  }

  /** Waits. Throws early with the error of {@link fail}, or if a dialer dies. */
  async pass(ms: number): Promise<void> {
    let isOver = false;
    const timer = setTimeout(() => {
      isOver = true;
      this.#onChange();
    }, ms);
    try {
      await this.#until(() => isOver);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the current wait with an error. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#onChange();
  }

  /** Closes the control streams: the dialers exit, and the kernel closes their connections. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const { process } of this.#dialers) process.hangUp();
    this.#error = undefined;
    await this.#until(() => this.#dialers.length === 0);
  }

  #until(isDone: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onChange = () => {
        if (this.#error !== undefined) reject(this.#error);
        else if (isDone()) resolve();
      };
      this.#onChange();
    });
  }

  #startOne(): void {
    const process = AddonProcess.start(
      LOAD_FRAMES,
      { system: childSystem, role: 'dial', descriptors: [] },
      {
        onFrame: (frame) => {
          this.#onFrame(dialer, frame);
        },
        onEnd: (end) => {
          this.#dialers.splice(this.#dialers.indexOf(dialer), 1);
          if (!this.#isClosing) {
            this.#dead.push(dialer);
            const reason = end.cause || (end.signal ?? `exit code ${end.code ?? 'unknown'}`);
            this.fail(new MegacometError('ERR_WORKER_START', `a dialer died: ${reason}`));
          }
          this.#onChange();
        },
      },
    );
    const dialer: Dialer = {
      process,
      isReady: false,
      finishedPhase: 0,
      progress: undefined,
      failures: { counts: [], losses: [], named: [], names: [] },
      latency: undefined,
      deliveries: [],
    };
    this.#dialers.push(dialer);
  }

  #onFrame(dialer: Dialer, frame: LoadFrame): void {
    switch (frame.name) {
      case 'Ready':
        dialer.isReady = true;
        break;
      case 'Progress':
        dialer.progress = frame.fields;
        if (frame.fields.finished === 1) dialer.finishedPhase = frame.fields.phase;
        break;
      case 'Failures':
        dialer.failures = frame.fields;
        break;
      case 'Latency':
        dialer.latency = frame.fields;
        break;
      case 'DeliveryTimes':
        dialer.deliveries.push(frame.fields);
        break;
      case 'Log':
        this.fail(
          new MegacometError(
            'ERR_WORKER_START',
            `a dialer rejected its order: ${frame.fields.message}`,
          ),
        );
        break;
      default:
        return;
    }
    this.#onChange();
  }
}
