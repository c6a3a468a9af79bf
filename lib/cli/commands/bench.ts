// `megacomet-ts bench`: runs the load generator, shows its progress, and writes the reports.
import { constants } from 'node:os';

import type { BenchResult } from '../../bench/bench-result.js';
import { verdict } from '../../bench/verdict.js';
import { runBench, type BenchOptions } from '../../bench/bench.js';
import { formatHtml } from '../../bench/report-html.js';
import { formatText } from '../../bench/report.js';
import type { TlsTarget } from '../../bench/tls-target.js';
import { parseAddress, parseHostName } from '../../base/address.js';
import { MegacometError } from '../../base/errors.js';
import { readOptionFile } from '../../base/option-file.js';
import { readSettings, type Settings } from '../../options/config.js';
import { procReader } from '../../system/kernel.js';
import { adminTokenOf, adminTrustOf } from '../admin-access.js';
import { keepaliveWarning } from '../keepalive-warning.js';
import { warn, type Output } from '../output.js';
import { EXIT, SIGNAL_EXIT } from '../process-interface.js';
import { ProgressLine } from '../progress.js';
import { ResultFile } from '../result-file.js';
import { acceptedOf, dialedAuthorities } from '../trust.js';

/** One frame has all tokens. */
const TOKEN_FILE_BYTES_MAX = 768 * 1024;
/** As many as a frame has. */
const TOKENS_MAX = 65_535;

/** One token on each line. */
function readTokens(path: string | undefined): readonly string[] {
  if (path === undefined) return [];
  const text = readOptionFile('--token-file', path, TOKEN_FILE_BYTES_MAX).toString('latin1');
  const tokens = text.split(/\s+/).filter((token) => token !== '');
  if (tokens.length > 0 && tokens.length <= TOKENS_MAX) return tokens;
  throw new MegacometError(
    'ERR_OPTION_INVALID',
    `--token-file: ${path} has ${tokens.length} tokens; 1 to ${TOKENS_MAX} are allowed`,
  );
}

function tlsTarget(settings: Settings): TlsTarget | null {
  if (settings['tls'] !== true) return null;
  const name = settings['serverName'] as string | undefined;
  const accepted = acceptedOf(settings);
  return {
    authorities: dialedAuthorities(accepted),
    verifies: accepted.verifies,
    serverName: name === undefined ? null : parseHostName('--server-name', name),
    resumes: settings['resume'] === true,
  };
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
    adminToken: adminTokenOf(settings),
    adminTrust: adminTrustOf(settings),
    sources: (settings['source'] as readonly string[] | undefined) ?? [],
    verify: verify === true,
    tls: tlsTarget(settings),
    subscribe: {
      channel: channel as string,
      private: settings['private'] === true,
      channels: (settings['channels'] as number | undefined) ?? 0,
      since: (since as string | undefined) ?? '',
      tokens: readTokens(settings['tokenFile'] as string | undefined),
    },
    command: ['megacomet-ts', ...process.argv.slice(2)].join(' '),
  };
}

/** The first of these signals ends a run with the measurements so far, the second one at once. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Aborts at the first signal. Returns a function that gives the exit code of that signal, or null. */
function abortAtSignals(abort: AbortController): () => number | null {
  let exitCode: number | null = null;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      // The settings of the machine are restored when the process exits.
      if (exitCode !== null) process.exit(exitCode);
      exitCode = SIGNAL_EXIT + constants.signals[signal];
      abort.abort(new MegacometError('ERR_NOT_RUNNING', `${signal} ended the run`));
    });
  }
  return () => exitCode;
}

interface ResultFiles {
  readonly json: ResultFile | null;
  readonly report: ResultFile | null;
}

/** Opens the files of the result before the run. @throws MegacometError `ERR_WRITE` */
function openFiles({ json, report }: Settings): ResultFiles {
  const open = (option: string, path: unknown): ResultFile | null =>
    typeof path === 'string' && !(option === '--json' && path === '-')
      ? new ResultFile(option, path)
      : null;
  const first = open('--json', json);
  try {
    return { json: first, report: open('--report', report) };
  } catch (error) {
    first?.close();
    throw error;
  }
}

/** Writes each file, even if another one fails. Returns whether all are written. */
function writeFiles({ json, report }: ResultFiles, result: BenchResult): boolean {
  const writes = [
    () => json?.write(`${JSON.stringify(result, null, 2)}\n`),
    () => report?.write(formatHtml(result)),
  ];
  let areWritten = true;
  for (const write of writes) {
    try {
      write();
    } catch (error) {
      areWritten = false;
      warn((error as Error).message);
    }
  }
  return areWritten;
}

/**
 * Runs the command; resolves to 0 if the verdict is clean, to 128 and the number of a signal that
 * ended the run, else to 1.
 *
 * @throws MegacometError
 */
export async function bench(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('bench', { flags, env: process.env });
  const options = benchOptions(settings);
  const files = openFiles(settings);
  try {
    const abort = new AbortController();
    const signalCode = abortAtSignals(abort);
    const warning = keepaliveWarning(options, procReader);
    if (warning !== null) warn(warning);
    const progress = new ProgressLine(process.stderr, process.env);
    const result = await runBench(options, progress.show, abort.signal)
      .catch((error: unknown) => {
        const code = signalCode();
        if (code === null) throw error;
        warn((error as Error).message);
        return code;
      })
      .finally(() => {
        progress.stop();
      });
    if (typeof result === 'number') return result;
    // The files first, without an early end: the reader of the text may have left.
    const areWritten = writeFiles(files, result);
    const isJson = settings['json'] === '-';
    await output.write(isJson ? `${JSON.stringify(result)}\n` : formatText(result, output.columns));
    return signalCode() ?? (areWritten && verdict(result).isClean ? EXIT.success : EXIT.failure);
  } finally {
    files.json?.close();
    files.report?.close();
  }
}
