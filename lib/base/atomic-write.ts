// Files that are written whole or not at all.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { MegacometError } from './errors.js';

export interface WholeFile {
  /** Below the folder that it is written to; with at most one folder of its own. */
  readonly name: string;
  readonly text: string;
}

function holds(file: string, text: string): boolean {
  try {
    return readFileSync(file, 'utf8') === text;
  } catch {
    return false;
  }
}

/** Makes a folder in one that exists, so that a misspelled path makes no chain of folders. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Writes files beside their places and moves all of them there once the last is written, so that
 * nobody ever reads half of one, and none is there without the others. Makes the folder where it is
 * missing, and leaves a file alone that holds its text already.
 *
 * @returns For each file whether it was written.
 * @throws MegacometError `ERR_WRITE`, naming the path and the reason.
 */
export function writeWhole(folder: string, files: readonly WholeFile[]): boolean[] {
  const changes = files.map(({ name, text }) => {
    const file = path.join(folder, name);
    return { file, text, temporary: `${file}.${process.pid}.new`, isSame: holds(file, text) };
  });
  const wanted = changes.filter(({ isSame }) => !isSame);
  const made: string[] = [];
  let at = folder;
  try {
    if (wanted.length > 0) makeFolder(folder);
    for (const { file, text, temporary } of wanted) {
      at = file;
      makeFolder(path.dirname(file));
      // One that was killed here may have left it: nobody else uses this pid now.
      rmSync(temporary, { force: true });
      made.push(temporary);
      writeFileSync(temporary, text, { mode: 0o644, flag: 'wx', flush: true });
    }
    for (const { file, temporary } of wanted) {
      at = file;
      renameSync(temporary, file);
    }
  } catch (error) {
    for (const temporary of made) rmSync(temporary, { force: true });
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new MegacometError('ERR_WRITE', `cannot write ${at} (${code})`);
  }
  return changes.map(({ isSame }) => !isSame);
}
