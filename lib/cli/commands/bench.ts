// `megacomet-ts bench`: runs the load generator, shows its progress, and writes the reports.
import { writeFileSync } from 'node:fs';

import { Presets, SingleBar } from 'cli-progress';

import type { BenchResult } from '../../bench/bench-result.js';
import {
  runBench,
  type BenchOptions,
  type BenchPhase,
  type OnProgress,
} from '../../bench/bench.js';
import { readSettings, type Settings } from '../../options/config.js';
import { MegacometError } from '../../base/errors.js';
import { parseAddress } from '../../base/address.js';
import { formatHtml } from '../../bench/report-html.js';
import { formatText } from '../../bench/report.js';

const UNITS: Record<BenchPhase, string> = {
  open: 'connections',
  hold: 'seconds',
  verify: 'answers',
  exchange: 'seconds',
};

/** Interval of progress lines if standard error is not a terminal. */
const FILE_INTERVAL_MS = 5000;

/** A progress bar for each phase, on standard error: standard output has the report only. */
function makeBar(): { onProgress: OnProgress; stop: () => void } {
  let bar: SingleBar | undefined;
  let current: BenchPhase | undefined;
  const onProgress: OnProgress = ({ phase, done, total, failed, perSecond }) => {
    const rate = Math.round(perSecond);
    if (phase !== current) {
      bar?.stop();
      current = phase;
      bar = new SingleBar(
        {
          format:
            `${phase.padEnd(8)} {bar} {value}/{total} ${UNITS[phase]}, ` +
            '{rate}/s, {failed} failed, {eta} s left',
          stream: process.stderr,
          noTTYOutput: true,
          notTTYSchedule: FILE_INTERVAL_MS,
          barsize: 24,
        },
        Presets.shades_classic,
      );
      bar.start(Math.ceil(total), 0, { rate, failed });
    }
    bar?.update(Math.floor(done), { rate, failed });
  };
  return { onProgress, stop: () => bar?.stop() };
}

function benchOptions(settings: Settings): BenchOptions {
  const targets = settings['target'] as readonly string[] | undefined;
  if (targets === undefined) {
    throw new MegacometError('ERR_OPTION_INVALID', '--target: HOST:PORT is required');
  }
  const { transport, verify, active, channel, since } = settings;
  if (transport !== 'tcp' && (verify === true || active !== 0)) {
    const option = verify === true ? '--verify' : '--active';
    throw new MegacometError('ERR_OPTION_INVALID', `${option}: requires --transport tcp`);
  }
  if (settings['private'] === true && settings['channels'] !== undefined) {
    throw new MegacometError('ERR_OPTION_INVALID', '--channels: cannot be combined with --private');
  }
  return {
    ...(settings as unknown as Omit<BenchOptions, 'command' | 'sources' | 'targets'>),
    targets: targets.map((text) => parseAddress('--target', text, false)),
    sources: (settings['source'] as readonly string[] | undefined) ?? [],
    verify: verify === true,
    subscribe: {
      channel: channel as string,
      private: settings['private'] === true,
      channels: (settings['channels'] as number | undefined) ?? 0,
      since: (since as string | undefined) ?? '',
    },
    command: ['megacomet-ts', ...process.argv.slice(2)].join(' '),
  };
}

/** Whether every connection was opened, stayed open and answered, and no message was missed. */
function isClean(result: BenchResult): boolean {
  const { verify, hold, fanout } = result;
  return (
    result.opened === result.requested &&
    result.failed === 0 &&
    (hold?.lost ?? 0) === 0 &&
    (fanout?.gaps ?? 0) === 0 &&
    (verify === undefined || verify.answered === result.requested)
  );
}

/**
 * Runs the command; resolves to 0 if the run is clean (see {@link isClean}), else to 1.
 *
 * @throws MegacometError
 */
export async function bench(
  flags: Record<string, unknown>,
  print: (text: string) => void,
): Promise<number> {
  const settings = readSettings('bench', { flags, env: process.env });
  const options = benchOptions(settings);
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      abort.abort(new MegacometError('ERR_NOT_RUNNING', `${signal} ended the run`));
    });
  }
  const bar = makeBar();
  let result: BenchResult;
  try {
    result = await runBench(options, bar.onProgress, abort.signal);
  } finally {
    bar.stop();
  }
  const json = settings['json'];
  const report = settings['report'];
  if (typeof report === 'string') writeFileSync(report, formatHtml(result));
  if (json === '-') {
    print(JSON.stringify(result));
  } else {
    if (typeof json === 'string') writeFileSync(json, `${JSON.stringify(result, null, 2)}\n`);
    print(formatText(result));
  }
  return isClean(result) ? 0 : 1;
}
