// Recorded machines and variants of them, for the tests of the doctor.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { diagnose, type Aim, type Diagnosis } from '../../../lib/doctor/doctor.js';
import type { Finding } from '../../../lib/doctor/finding.js';
import { recordedMachine, type Recording } from '../../../lib/doctor/machine.js';
import { root } from '../helpers.js';

export const MACHINES = [
  'laptop',
  'ec2',
  'container',
  'debian-12',
  'debian-13',
  'arm64-64k',
] as const;

export type MachineName = (typeof MACHINES)[number];

const recordings = new Map<MachineName, Recording>();

export function recordingOf(name: MachineName): Recording {
  const known = recordings.get(name);
  if (known !== undefined) return known;
  const path = join(root, 'test/support/machines', `${name}.json`);
  const recording = JSON.parse(readFileSync(path, 'utf8')) as Recording;
  recordings.set(name, recording);
  return recording;
}

/** A million idle connections of a server with the defaults, and a broadcast to all of them. */
export const MILLION: Aim = {
  target: 1_000_000,
  role: 'server',
  workers: 'auto',
  acceptRate: 0,
  messageBurst: 1,
  messageBytes: 200,
  ports: [8000],
  backlog: 4096,
  keepaliveS: 240,
  drainS: 10,
};

/** The path of a sysctl. */
export function pathOf(key: string): string {
  return `/proc/sys/${key.replaceAll('.', '/')}`;
}

/** A recording with other values for some of its sysctls; null removes one. */
export function withSysctls(
  recording: Recording,
  sysctls: Readonly<Record<string, number | string | null>>,
): Recording {
  const changes = Object.entries(sysctls).map(
    ([key, value]) => [pathOf(key), value === null ? undefined : `${value}\n`] as const,
  );
  return withFiles(recording, Object.fromEntries(changes));
}

/** A recording with other files; undefined removes one. */
export function withFiles(
  recording: Recording,
  files: Readonly<Record<string, string | undefined>>,
): Recording {
  const merged = Object.entries({ ...recording.files, ...files });
  const kept = merged.flatMap(([path, text]) => (text === undefined ? [] : [[path, text]]));
  return { ...recording, files: Object.fromEntries(kept) as Record<string, string> };
}

export function diagnosisOf(recording: Recording, aim: Partial<Aim> = {}): Diagnosis {
  return diagnose(recordedMachine(recording), { ...MILLION, ...aim });
}

export function findingOf({ findings }: Pick<Diagnosis, 'findings'>, id: string): Finding {
  const found = findings.find((candidate) => candidate.id === id);
  if (found === undefined) throw new Error(`no finding ${id}`);
  return found;
}

/** Names of the findings of a severity, sorted. */
export function idsOf({ findings }: Diagnosis, severity: Finding['severity']): string[] {
  return findings.flatMap((found) => (found.severity === severity ? [found.id] : [])).sort();
}
