// `megacomet-ts doctor`: prints the capacity of this machine, the limits that bind, and the fixes.
import { readSettings, type Settings } from '../../options/config.js';
import { portsOf } from '../../options/options.js';
import { diagnose, type Aim } from '../../doctor/doctor.js';
import { MegacometError } from '../../base/errors.js';
import { DRAIN_S } from '../../base/stop-times.js';
import type { Role } from '../../doctor/finding.js';
import { thisMachine } from '../../doctor/machine.js';
import { applySysctls, writeFiles, type Applied } from '../../doctor/fix.js';
import { formatDiagnosis } from '../diagnosis-text.js';
import type { Output } from '../output.js';
import { tlsOf } from '../tls-load.js';

/** The exit code if the machine cannot hold the target or a finding is critical: for scripts. */
const EXIT_NOT_ENOUGH = 3;
/** The exit code if the kernel rejected a value of --apply. */
const EXIT_REJECTED = 4;
/** Assumed bytes of one message: a small JSON notification. */
const MESSAGE_BYTES = 200;

export function aimOf(settings: Settings): Aim {
  return {
    target: settings['target'] as number,
    role: settings['role'] as Role,
    workers: settings['workers'] as number | 'auto',
    acceptRate: settings['acceptRate'] as number,
    messageBurst: settings['messageBurst'] as number,
    messageBytes: MESSAGE_BYTES,
    ports: portsOf(settings['port'] as number | string),
    backlog: settings['backlog'] as number,
    keepaliveS: settings['keepalive'] as number,
    drainS: DRAIN_S,
    ...tlsOf(settings),
  };
}

function formatApplied({ key, wanted, found, error }: Applied): string {
  return error === null
    ? `applied  ${key} = ${found}`
    : `REJECTED ${key} = ${wanted}: ${error}; it is ${found}`;
}

function checkMayApply(): void {
  if (process.getuid?.() === 0) return;
  throw new MegacometError('ERR_USER', '--apply: only root can set sysctls');
}

/** Runs the command; resolves to the exit code. */
export async function doctor(flags: Record<string, unknown>, output: Output): Promise<number> {
  const settings = readSettings('doctor', { flags, env: process.env });
  const applies = settings['apply'] === true;
  if (applies) checkMayApply();
  const aim = aimOf(settings);
  let diagnosis = diagnose(thisMachine, aim);
  // Write files first: after a value is applied, the diagnosis no longer asks for it.
  const folder = settings['write'] as string | undefined;
  const written = folder === undefined ? [] : writeFiles(diagnosis, folder, thisMachine.read);
  const applied = applies ? applySysctls(diagnosis, thisMachine.read) : [];
  if (applies) diagnosis = diagnose(thisMachine, aim);
  if (settings['json'] === true) {
    await output.print(JSON.stringify({ ...diagnosis, written, applied }, null, 2));
  } else {
    const form = { columns: output.columns, isVerbose: settings['verbose'] === true };
    await output.print(formatDiagnosis(diagnosis, form));
    for (const { file, isChanged } of written) {
      await output.print(`${isChanged ? 'written  ' : 'unchanged'} ${file}`);
    }
    for (const line of applied) await output.print(formatApplied(line));
    if (folder === undefined && applied.some(({ error }) => error === null)) {
      await output.print(
        'Applied values last until the next boot; --write DIR writes a file for /etc/sysctl.d.',
      );
    }
  }
  if (applied.some(({ error }) => error !== null)) return EXIT_REJECTED;
  const { isEnough, critical } = diagnosis.verdict;
  return isEnough && critical.length === 0 ? 0 : EXIT_NOT_ENOUGH;
}
