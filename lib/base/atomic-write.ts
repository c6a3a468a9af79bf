// Writes files completely or not at all.
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { MegacometError } from './errors.js';

export interface WholeFile {
  /** Path relative to the target folder; with at most one folder in it. */
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

/** Makes a folder, but not its parents: a misspelled path must not create a chain of folders. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder);
    chmodSync(folder, 0o755);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Writes each file under a temporary name in its folder, and renames all of them after the last is
 * written. So no reader sees a partial file, or one file without the others. It makes a missing
 * folder, and does not write a file that already has the text.
 *
 * @returns For each file whether it was written.
 * @throws MegacometError `ERR_WRITE` with the path and the reason.
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
      // A run with this pid that was killed here may have left the file.
      rmSync(temporary, { force: true });
      made.push(temporary);
      writeFileSync(temporary, text, { flag: 'wx', flush: true });
      // At any umask of root: the user of a service reads its config file.
      chmodSync(temporary, 0o644);
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
