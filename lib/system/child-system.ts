// What ipc/spawn.ts needs of this machine to start and watch a child process.
import { isHeld, procReader } from './kernel.js';
import { addonPath } from './native.js';

export const childSystem = {
  addonPath,
  isHeld: (pid: number): boolean => isHeld(procReader, pid),
};
