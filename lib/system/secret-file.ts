// Whether other users of this machine can read a file that holds a secret.
import { statSync } from 'node:fs';
import path from 'node:path';

/** What a check reads of a file. */
export interface FileMode {
  readonly mode: number;
  readonly uid: number;
}

/** Users who can read a file besides its owner. */
export interface Exposure {
  /** In octal digits. */
  readonly mode: string;
  readonly readers: 'every user' | 'its group';
}

/**
 * Who can read a secret in a file that nobody else should read; null if nobody can. The group may
 * read a file of another user, because this process may need that. systemd guards the credentials
 * of a service by the folder, and gives the files a mode of 0440.
 */
export function exposureOf(
  file: string,
  { mode, uid }: FileMode,
  ownUid: number,
  credentials = process.env['CREDENTIALS_DIRECTORY'],
): Exposure | null {
  const isCredential =
    credentials !== undefined && path.resolve(file).startsWith(`${path.resolve(credentials)}/`);
  const readers = (mode & 0o004) !== 0 ? 'every user' : (mode & 0o040) !== 0 ? 'its group' : null;
  const isNeeded = readers === 'its group' && uid !== ownUid;
  if (readers === null || isNeeded || isCredential) return null;
  return { mode: (mode & 0o7777).toString(8).padStart(4, '0'), readers };
}

/** As exposureOf(), for a file of this machine; null if it cannot be examined. */
export function exposureOfFile(file: string): Exposure | null {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? null : exposureOf(file, stats, process.getuid?.() ?? 0);
}
