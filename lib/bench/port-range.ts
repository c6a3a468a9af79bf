// The range of ephemeral ports of this machine while bench runs widen it. Runs can overlap: the
// first one saves the settings in a folder, and the last one restores them. A run that was killed
// leaves its file, from which the next run learns the settings to restore.
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { reasonOf } from '../base/reason.js';
import { sleepSync } from '../base/sleep-sync.js';
import { processStart, procReader } from '../system/kernel.js';

export const RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
const RESERVED = '/proc/sys/net/ipv4/ip_local_reserved_ports';
const WIDEST = '1024 65535';

const FOLDER = '/run/megacomet-ts';
const LOCK_NAME = 'lock';
const LOCK_TRIES = 200;
const LOCK_WAIT_MS = 10;

/** The settings of the machine. */
interface Settings {
  readonly range: string;
  readonly reserved: string;
}

/**
 * The state that a run saves: the settings before all runs, and the ports that this run needs
 * reserved.
 */
interface Saved extends Settings {
  readonly ports: string;
  /** Start time of the process: its pid can belong to another process later. */
  readonly started: string;
}

export interface WidenedRange {
  /** The change, as a sentence. */
  readonly note: string;
  /** Restores the settings, unless another run still needs them. Synchronous, for a signal. */
  restore(): void;
}

/** A folder of this network namespace: each namespace has settings of its own. */
function folderOf(): string {
  const [, id = '0'] = /(\d+)/.exec(readlinkSync('/proc/self/ns/net')) ?? [];
  return path.join(FOLDER, `ports-${id}`);
}

/** Runs `action` while no other run changes the settings. Synchronous: it also runs at the exit. */
function locked<T>(folder: string, action: () => T): T {
  const file = path.join(folder, LOCK_NAME);
  for (let tries = 0; ; tries++) {
    try {
      closeSync(openSync(file, 'wx'));
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // A lock is held for less than a millisecond: a dead run left one that is two seconds old.
      if (tries >= LOCK_TRIES) rmSync(file, { force: true });
      sleepSync(LOCK_WAIT_MS);
    }
  }
  try {
    return action();
  } finally {
    rmSync(file, { force: true });
  }
}

/** The saved settings of all runs, by pid, and whether the run is alive. */
function savedOf(folder: string): { saved: Saved; file: string; isAlive: boolean }[] {
  return readdirSync(folder)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const file = path.join(folder, name);
      try {
        const saved = JSON.parse(readFileSync(file, 'utf8')) as Saved;
        const isAlive = processStart(procReader, Number(name)) === saved.started;
        return [{ saved, file, isAlive }];
      } catch {
        return [];
      }
    });
}

function join(...lists: readonly string[]): string {
  return [...new Set(lists.flatMap((list) => list.split(',')))].filter(Boolean).join(',');
}

/** Reserves first: a connect could take the port of a listener within the new range. */
function apply({ range, reserved }: Settings): void {
  writeFileSync(RESERVED, reserved === '' ? '\n' : reserved);
  writeFileSync(RANGE, range);
}

function restoreFrom(folder: string): void {
  locked(folder, () => {
    const own = path.join(folder, String(process.pid));
    const saved = JSON.parse(readFileSync(own, 'utf8')) as Saved;
    rmSync(own);
    const others = savedOf(folder).filter(({ isAlive }) => isAlive);
    const ports = others.map((other) => other.saved.ports);
    if (others.length === 0) {
      writeFileSync(RANGE, saved.range);
      writeFileSync(RESERVED, saved.reserved === '' ? '\n' : saved.reserved);
    } else {
      apply({ range: WIDEST, reserved: join(...ports, saved.reserved) });
    }
  });
}

function widen(folder: string, ports: string, current: Settings): Settings {
  return locked(folder, () => {
    const all = savedOf(folder);
    const [{ saved: first } = { saved: current }] = all;
    for (const { file, isAlive } of all) if (!isAlive) rmSync(file);
    const alive = all.filter(({ isAlive }) => isAlive).map(({ saved }) => saved.ports);
    const { range, reserved } = first;
    const started = processStart(procReader, process.pid) ?? '';
    const own: Saved = { range, reserved, ports, started };
    writeFileSync(path.join(folder, String(process.pid)), JSON.stringify(own));
    apply({ range: WIDEST, reserved: join(...alive, ports, reserved) });
    return own;
  });
}

/**
 * Whether another run has widened the range. The end of that run would narrow it for this one; a run
 * that was killed leaves it to the next one to restore the settings.
 */
export function isWidened(): boolean {
  try {
    return savedOf(folderOf()).length > 0;
  } catch {
    return false;
  }
}

/**
 * Widens the range of ephemeral ports, and reserves `ports`, a list with commas. Null if this
 * process may not.
 */
export function widenRange(ports: string): WidenedRange | null {
  const range = procReader(RANGE)?.trim();
  const reserved = procReader(RESERVED)?.trim();
  if (range === undefined || reserved === undefined) return null;
  let before: Settings;
  let folder: string;
  try {
    folder = folderOf();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    before = widen(folder, ports, { range, reserved });
  } catch {
    return null;
  }
  let isRestored = false;
  const restore = (): void => {
    if (isRestored) return;
    isRestored = true;
    process.off('exit', restore);
    try {
      restoreFrom(folder);
    } catch (error) {
      process.stderr.write(`megacomet-ts: ${RANGE} is not restored: ${reasonOf(error)}\n`);
    }
  };
  // However the process ends, except by SIGKILL.
  process.on('exit', restore);
  const from = before.range.replace(/\s+/, ' ');
  return {
    note: `raised net.ipv4.ip_local_port_range from ${from} to ${WIDEST} for this run`,
    restore,
  };
}
