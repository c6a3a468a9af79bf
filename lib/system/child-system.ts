// What ipc/spawn.ts needs of this machine to start and watch a child process.
import { lstatSync, realpathSync } from 'node:fs';
import path from 'node:path';

import { isHeld, isStopped, procReader } from './kernel.js';
import { addon, addonPath } from './native.js';

const READ = 4;
const SEARCH = 1;

/** Whether root can read a file without a capability, which lets it read the files of others. */
export function isOpenToRoot(file: string): boolean {
  try {
    let at = realpathSync(file);
    let right = lstatSync(at).isDirectory() ? SEARCH : READ;
    for (; ; at = path.dirname(at)) {
      const { mode, uid, gid } = lstatSync(at);
      const shift = uid === 0 ? 6 : gid === 0 ? 3 : 0;
      if (((mode >> shift) & right) === 0) return false;
      if (at === '/') return true;
      right = SEARCH;
    }
  } catch {
    return false;
  }
}

/** The files and folders that a worker loads from after its start. */
function isProgramOpenToRoot(): boolean {
  const libraries = (process.env['LD_LIBRARY_PATH'] ?? '').split(':').filter((at) => at !== '');
  return [addonPath, ...libraries].every(isOpenToRoot);
}

let dropsCapabilities: boolean | undefined;

export const childSystem = {
  addonPath,
  isHeld: (pid: number): boolean => isHeld(procReader, pid),
  isStopped: (pid: number): boolean => isStopped(procReader, pid),
  guarded: <T>(spawn: () => T): T => {
    // In the home of another user a child without capabilities could not load the addon; its main
    // thread drops them after that.
    dropsCapabilities ??= isProgramOpenToRoot();
    const securebits = addon.guardSpawn(dropsCapabilities);
    try {
      return spawn();
    } finally {
      addon.endSpawn(securebits);
    }
  },
};
