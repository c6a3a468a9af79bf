// Files that hold a secret: who else on this machine can read or change them.
import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

import { MegacometError } from '../base/errors.js';
import { shellWord } from '../base/shell-word.js';
import { readSmallFile } from '../base/small-file.js';

/** The facts of a file that a check reads. */
export interface FileMode {
  readonly mode: number;
  readonly uid: number;
}

/** Access to a file besides that of its owner. */
export interface Exposure {
  /** In octal digits. */
  readonly mode: string;
  readonly readers: 'every user' | 'its group';
  readonly can: 'change' | 'read';
}

/** The largest file that is read as a secret; a larger one is a mistake. */
const BYTES_MAX = 65_536;

/**
 * Whether a file is a credential of this service. systemd guards credentials by their folder, and
 * gives the files a mode of 0440 and an owner that depends on its version.
 */
function isCredential(file: string, folder: string | undefined): boolean {
  return folder !== undefined && path.resolve(file).startsWith(`${path.resolve(folder)}/`);
}

/**
 * The access of other users to a secret file; null without any. The group may read a file of
 * another user, because this process may need that.
 */
export function exposureOf(
  file: string,
  { mode, uid }: FileMode,
  ownUid: number,
  credentials = process.env['CREDENTIALS_DIRECTORY'],
): Exposure | null {
  if (isCredential(file, credentials)) return null;
  const digits = (mode & 0o7777).toString(8).padStart(4, '0');
  const exposed = (readers: Exposure['readers'], can: Exposure['can']): Exposure => ({
    ...{ mode: digits, readers, can },
  });
  if ((mode & 0o002) !== 0) return exposed('every user', 'change');
  if ((mode & 0o004) !== 0) return exposed('every user', 'read');
  if ((mode & 0o020) !== 0) return exposed('its group', 'change');
  return (mode & 0o040) !== 0 && uid === ownUid ? exposed('its group', 'read') : null;
}

/** The sentence about an exposure, with the command that ends it. */
export function formatExposure(file: string, { mode, readers, can }: Exposure): string {
  const fix = `chmod 600 ${shellWord(file)}`;
  return `${file} has mode ${mode}, so ${readers} can ${can} the secret: ${fix}`;
}

function ownUid(): number {
  return process.geteuid?.() ?? 0;
}

/** As exposureOf(), for a file of this machine; null if it cannot be examined. */
export function exposureOfFile(file: string): Exposure | null {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats === undefined ? null : exposureOf(file, stats, ownUid());
}

function canWrite(file: string): boolean {
  try {
    accessSync(file, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Whether readers of a secret are the decision of the machine: root owns the file, and neither
 * other users nor this process can change it. Docker and Kubernetes mount secrets so, with the
 * modes 0444 and 0644, into containers without other users.
 */
function isOfMachine(file: string, { mode, uid }: FileMode): boolean {
  return uid === 0 && (mode & 0o022) === 0 && !canWrite(file);
}

/** Whose secrets a process believes. Null: the owner does not matter, because it only sends them. */
export type Owners = readonly number[] | null;

/** The owners that a server believes: this user, root, and the user that root becomes. */
export function ownersOf(becomes: number | undefined): readonly number[] {
  return [ownUid(), 0, ...(becomes === undefined ? [] : [becomes])];
}

/**
 * Reads a file with a secret, and checks its mode and owner.
 *
 * @param option - The name of the option, for the error.
 * @throws MegacometError `ERR_OPTION_INVALID` if others can read or change the file, except a mounted
 *   secret, if its owner is not among `owners`, or if it cannot be read.
 */
export function readSecretFile(option: string, file: string, owners: Owners): string {
  const invalid = (reason: string): MegacometError =>
    new MegacometError('ERR_OPTION_INVALID', `${option}: ${reason}`);
  const check = (stats: FileMode): void => {
    const exposure = exposureOf(file, stats, ownUid());
    if (exposure !== null && !isOfMachine(file, stats)) {
      throw invalid(formatExposure(file, exposure));
    }
    const isForeign = owners?.includes(stats.uid) === false;
    if (isForeign && !isCredential(file, process.env['CREDENTIALS_DIRECTORY'])) {
      const users = [...new Set(owners)].join(' or ');
      throw invalid(`${file} belongs to user ${stats.uid}, not to ${users}: see chown(1)`);
    }
  };
  let content: Buffer | null;
  try {
    content = readSmallFile(file, BYTES_MAX, check);
  } catch (error) {
    if (error instanceof MegacometError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw invalid(`${file} cannot be read (${code})`);
  }
  if (content !== null) return content.toString('utf8');
  throw invalid(`${file} is too large; at most ${BYTES_MAX} bytes are allowed`);
}
