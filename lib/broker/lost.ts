// Messages that were lost before this server received them, because the log dropped them or went
// back, and new epochs of the log. Each subscriber that is connected is notified once.
import { counter } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import type { WorkerLines } from '../ipc/outgoing.js';
import type { LogStart } from '../log/log.js';
import type { HistoryEngine } from './history-engine.js';
import { lastNumberOf } from './log-batch.js';
import type { PublishPath } from './publish-path.js';

/** Messages that this server did not receive, or an epoch that begins. */
export interface Loss {
  /** The last number that this server has. */
  readonly after: number;
  /** The last number that is lost; at most `after` if none is lost. All later numbers are greater. */
  readonly to: number;
  /** That of all later cursors; default: the present one. */
  readonly epoch?: bigint | undefined;
}

export interface LossesParts {
  readonly engine: Pick<HistoryEngine, 'beginEpoch' | 'epoch' | 'lose'>;
  readonly path: Pick<PublishPath, 'epochChanged'>;
  readonly lines: Pick<WorkerLines, 'send'>;
  readonly slots: () => readonly number[];
}

export class Losses {
  static readonly METRICS = {
    lostFramesTotal: counter(
      'lost_frames_total',
      'Frames to workers about lost messages and about new epochs. loss_notices_total counts the ' +
        'subscribers that were notified.',
      (losses: Losses) => losses.#frames,
    ),
  };

  readonly #parts: LossesParts;
  #frames = 0;

  constructor(parts: LossesParts) {
    this.#parts = parts;
  }

  /** The log was opened, which may have forgotten its first entries. No worker runs yet. */
  begin({ epoch, first }: Pick<LogStart, 'epoch' | 'first'>): void {
    this.#beginEpoch(epoch);
    if (first > 1) this.#parts.engine.lose(lastNumberOf(first - 1));
  }

  /** Notifies the subscribers of a loss, in the order of the messages. */
  report({ after, to, epoch }: Loss): void {
    const { engine, lines, slots } = this.#parts;
    const isLoss = to > after;
    if (!isLoss && epoch === undefined) return;
    if (epoch !== undefined) this.#beginEpoch(epoch);
    if (isLoss) engine.lose(to);
    const all = slots();
    // An epoch without a loss is not a notice: a worker may have fewer messages than this server.
    lines.send(encodeFrame('Lost', { to: BigInt(isLoss ? to : 0), epoch: engine.epoch }), all);
    this.#frames += all.length;
  }

  #beginEpoch(epoch: bigint): void {
    this.#parts.engine.beginEpoch(epoch);
    this.#parts.path.epochChanged();
  }
}
