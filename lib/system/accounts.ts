// Users and groups by name or number, from the name service of this machine.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The databases that accounts are looked up in. */
export type Database = 'group' | 'passwd';

/** Finds a line of a database by its name or number; undefined without one. */
export type LookUp = (database: Database, key: string) => string | undefined;

/** 2^32 - 1 means "no change" to the kernel. */
const ID_MAX = 2 ** 32 - 2;

/**
 * getent also finds accounts of LDAP and systemd. A minimal image has no getent, but its files.
 */
export const lookUp: LookUp = (database, key) => {
  try {
    return execFileSync('getent', [database, key], { encoding: 'utf8', stdio: 'pipe' }).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') return undefined;
  }
  return lineOf(textOf(`/etc/${database}`), key);
};

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The line of passwd(5) or group(5) with that name or number. */
export function lineOf(text: string, key: string): string | undefined {
  return text.split('\n').find((line) => {
    const [name, , id] = line.split(':');
    return name === key || id === key;
  });
}

/** A user or group number in decimal digits; null for other texts. */
function numberOf(text: string): number | null {
  if (!/^\d{1,10}$/.test(text)) return null;
  const id = Number(text);
  return id <= ID_MAX ? id : null;
}

function field(line: string, index: number): number | null {
  return numberOf(line.split(':')[index] ?? '');
}

/** The number of a group by its name or number; null if the machine has no such group. */
export function gidOf(group: string, find: LookUp = lookUp): number | null {
  const number = numberOf(group);
  if (number !== null) return number;
  const line = group === '' ? undefined : find('group', group);
  return line === undefined ? null : field(line, 2);
}

/** A user's number and primary group; null if the machine has no such user. */
export interface Account {
  readonly uid: number;
  /** Null for a number without an account. */
  readonly gid: number | null;
}

/** A user by name or number. A number needs no account: a container's user often has none. */
export function accountOf(user: string, find: LookUp = lookUp): Account | null {
  const number = numberOf(user);
  const line = user === '' ? undefined : find('passwd', user);
  if (line === undefined) return number === null ? null : { uid: number, gid: null };
  const uid = field(line, 2);
  return uid === null ? null : { uid, gid: field(line, 3) };
}
