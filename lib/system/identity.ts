// Changes the user of this process permanently, and checks that no privilege of the old user is left.
import { MegacometError } from '../base/errors.js';
import { accountOf, gidOf, lookUp, type LookUp } from './accounts.js';
import { procReader } from './kernel.js';
import { addon } from './native.js';

export interface Identity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The fields of /proc/self/status of a process that has become the user. */
function expectedStatus({ uid, gid }: Identity): Readonly<Record<string, RegExp>> {
  return {
    // The ids are real, effective, saved and of the file system.
    Uid: new RegExp(`^(${uid}\\s*){4}$`),
    Gid: new RegExp(`^(${gid}\\s*){4}$`),
    Groups: /^$/,
    CapInh: /^0+$/,
    CapPrm: /^0+$/,
    CapEff: /^0+$/,
    CapAmb: /^0+$/,
    NoNewPrivs: /^1$/,
  };
}

function impossible(name: string, rule: string): MegacometError {
  return new MegacometError('ERR_USER', `--user: "${name}" ${rule}`);
}

/**
 * Looks a user up: `USER` or `USER:GROUP`, each a name or a number. Without a group it is the
 * primary group of the user; a number without an account has a group of the same number.
 *
 * @throws MegacometError `ERR_USER` if this process is not root, or `name` is unknown or root.
 */
export function identityOf(name: string, find: LookUp = lookUp): Identity {
  if (process.getuid?.() !== 0)
    throw impossible(name, 'requires root: only root can change its user');
  return parseIdentity(name, find);
}

/** As identityOf(), for any process. */
export function parseIdentity(name: string, find: LookUp): Identity {
  const [user = '', group, ...rest] = name.split(':');
  if (rest.length > 0) throw impossible(name, 'is not USER or USER:GROUP');
  const account = accountOf(user, find);
  if (account === null) throw impossible(name, 'is not a user of this machine');
  if (account.uid === 0) throw impossible(name, 'is root; give a user without privileges');
  const gid = group === undefined ? (account.gid ?? account.uid) : gidOf(group, find);
  if (gid === null) throw impossible(name, 'names a group that this machine does not have');
  return { name, uid: account.uid, gid };
}

function statusOf(name: string): string {
  const status = procReader('/proc/self/status') ?? '';
  return new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
}

/**
 * Becomes the user: drops the supplementary groups, changes the group, then the user, drops all
 * capabilities, and forbids new privileges. Then checks that none is left.
 *
 * @throws MegacometError `ERR_USER` with the call that failed or the privilege that is left.
 */
export function becomeUser(identity: Identity): void {
  const { name, uid, gid } = identity;
  try {
    process.setgroups?.([]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    throw impossible(name, `cannot be set (${syscall ?? 'setuid'}: ${code ?? 'unknown'})`);
  }
  addon.dropCapabilities();
  addon.forbidNewPrivileges();
  const wrong = Object.entries(expectedStatus(identity)).find(([field, rule]) => {
    return !rule.test(statusOf(field));
  })?.[0];
  if (wrong === undefined) return;
  throw impossible(name, `was set, but ${wrong} in /proc/self/status is "${statusOf(wrong)}"`);
}
