// The admin token that a server generates at its first start, and that it and the commands of the
// same user find again.
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { isLoopback, type Address } from '../base/address.js';
import { reasonOf } from '../base/reason.js';
import type { Owners } from '../system/secret-file.js';
import { stateFolderOf } from '../system/state-folder.js';
import { readToken } from './token.js';

/** The file in the state folder, and the credential of the unit in lib/systemd/units.ts. */
export const TOKEN_NAME = 'admin.token';
const LABEL = 'admin token';
/** 256 bits. */
const TOKEN_BYTES = 32;

/** A token with its file, or the reason why there is none. */
export type GeneratedToken =
  { readonly token: string; readonly file: string } | { readonly reason: string };

function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

type Host = Pick<Address, 'host' | 'isUnix'>;

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}

/** Makes a folder and its parents. The recursive mkdir() of Node.js never returns below /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Makes the file of a new token, unless another server has made it meanwhile. */
function makeFile(file: string): void {
  makeFolder(path.dirname(file));
  // A complete file appears under its name or none: a start that is killed leaves no half of a token.
  const temporary = `${file}.${process.pid}.new`;
  try {
    rmSync(temporary, { force: true });
    const text = `${randomBytes(TOKEN_BYTES).toString('base64url')}\n`;
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true });
    linkSync(temporary, file);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/**
 * The credential of the service; null without one. One that cannot be read counts as one: a token of
 * our own in its place would lock the operator out, silently.
 */
function credentialOf(env: NodeJS.ProcessEnv): string | null {
  const folder = env['CREDENTIALS_DIRECTORY'] ?? '';
  if (folder === '') return null;
  const file = path.join(folder, TOKEN_NAME);
  try {
    lstatSync(file);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
  }
  return file;
}

/** The file of the generated token; null for a user without a home. */
function fileOf(env: NodeJS.ProcessEnv): string | null {
  const folder = stateFolderOf(env, process.geteuid?.() ?? 0);
  return folder === null ? null : path.join(folder, TOKEN_NAME);
}

/**
 * The token of the service's credential, or of the file that an earlier start has made; else makes
 * that file.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` if others can read or change the file, or its content
 *   is not a token.
 */
export function generatedToken(env: NodeJS.ProcessEnv, owners: Owners): GeneratedToken {
  const credential = credentialOf(env);
  if (credential !== null) return { token: readToken(LABEL, credential, owners), file: credential };
  const file = fileOf(env);
  if (file === null) return { reason: 'this user has no home' };
  try {
    if (!existsSync(file)) makeFile(file);
  } catch (error) {
    // Another server of this user made it first.
    if (codeOf(error) !== 'EEXIST') return { reason: `${file}: ${reasonOf(error)}` };
  }
  return { token: readToken(LABEL, file, owners), file };
}

/**
 * The token of the server of this user on this machine, for a command that has none; null if there
 * is none, or if the address is of another machine, which must not receive it.
 *
 * @throws MegacometError `ERR_OPTION_INVALID` if others can read or change the file.
 */
export function tokenOfThisUser(env: NodeJS.ProcessEnv, { isUnix, host }: Host): string | null {
  const isHere = isUnix || host === 'localhost' || isLoopback(host);
  const file = isHere ? (credentialOf(env) ?? fileOf(env)) : null;
  return file !== null && isReadable(file) ? readToken(LABEL, file, null) : null;
}
