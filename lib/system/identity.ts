// Becoming another user for good, and the proof that nothing of the old one is left.
import { execFileSync } from 'node:child_process';

import { MegacometError } from '../base/errors.js';
import { procReader } from './kernel.js';
import { addon } from './native.js';

export interface Identity {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** What /proc/self/status must say afterwards, by field. */
function nothingLeft({ uid, gid }: Identity): Readonly<Record<string, RegExp>> {
  return {
    // Real, effective, saved and of the file system.
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
 * Looks a user up.
 *
 * @throws MegacometError `ERR_USER` when this process is not root, or `name` is nobody or root.
 */
export function identityOf(name: string): Identity {
  if (process.getuid?.() !== 0) throw impossible(name, 'can be taken by root only');
  let identity: Identity;
  try {
    const id = (flag: string): number =>
      Number(execFileSync('id', [flag, '--', name], { encoding: 'utf8', stdio: 'pipe' }));
    identity = { name, uid: id('-u'), gid: id('-g') };
  } catch {
    throw impossible(name, 'is not a user of this machine');
  }
  if (identity.uid === 0) throw impossible(name, 'is root, which drops nothing');
  return identity;
}

function statusOf(name: string): string {
  const status = procReader('/proc/self/status') ?? '';
  return new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim() ?? '';
}

/**
 * Becomes the user: no supplementary groups, then the group, then the user, no capability, and no
 * way to get one. Checks afterwards, so that a server never keeps a privilege that it should drop.
 *
 * @throws MegacometError `ERR_USER`, naming what could not be given up.
 */
export function becomeUser(identity: Identity): void {
  const { name, uid, gid } = identity;
  try {
    process.setgroups?.([]);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    const { code, syscall } = error as NodeJS.ErrnoException;
    throw impossible(name, `cannot be taken (${syscall ?? 'setuid'}: ${code ?? 'unknown'})`);
  }
  addon.dropCapabilities();
  addon.forbidNewPrivileges();
  const wrong = Object.entries(nothingLeft(identity)).find(([field, rule]) => {
    return !rule.test(statusOf(field));
  })?.[0];
  if (wrong === undefined) return;
  throw impossible(name, `was taken, but ${wrong} in /proc/self/status is "${statusOf(wrong)}"`);
}
