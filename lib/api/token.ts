// The tokens of the admin server: where the options of a server or a command have them, and their form.
import { invalidOption } from '../base/call-check.js';
import { shown } from '../base/shown.js';
import { readSecretFile, type Owners } from '../system/secret-file.js';
import type { RoleToken } from './admin-tokens.js';
import { ROLES, type Role } from './endpoints.js';

/**
 * A shorter token can be guessed; a longer one does not fit into the admin server's header limit.
 */
const LENGTH_MIN = 16;
const LENGTH_MAX = 512;
/** Tokens that a server compares with each request. */
const TOKENS_MAX = 64;

const RULE = `${LENGTH_MIN} to ${LENGTH_MAX} visible ASCII characters`;

export interface TokenSource {
  readonly adminToken?: string | undefined;
  readonly adminTokenFile?: string | undefined;
}

export interface TokenSources extends TokenSource {
  readonly adminRole?: readonly string[] | undefined;
}

function check(token: string, label: string): string {
  const isVisible = /^[\x21-\x7e]*$/.test(token);
  if (isVisible && token.length >= LENGTH_MIN && token.length <= LENGTH_MAX) return token;
  throw invalidOption(`${label}: the token is not ${RULE}`);
}

/** The only line of a file. @throws MegacometError `ERR_OPTION_INVALID`. */
export function readToken(option: string, file: string, owners: Owners): string {
  const text = readSecretFile(option, file, owners);
  return check(text.replace(/\r?\n$/, ''), `${option}: ${file}`);
}

/**
 * The token of the options; null without one. The file takes precedence.
 *
 * @param owners - The users whose files are believed; null for a command, which only sends the token.
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the token.
 */
export function tokenOf(
  { adminToken, adminTokenFile }: TokenSource,
  owners: Owners = null,
): string | null {
  if (adminTokenFile !== undefined) return readToken('admin-token-file', adminTokenFile, owners);
  return adminToken === undefined ? null : check(adminToken, 'admin-token');
}

/** The files of the tokens; of a role as `ROLE=FILE`. */
export function tokenFilesOf({ adminTokenFile, adminRole = [] }: TokenSources): string[] {
  const files = adminRole.map((item) => item.slice(item.indexOf('=') + 1));
  return adminTokenFile === undefined ? files : [adminTokenFile, ...files];
}

/** Reads one item of `admin-role`. */
function readRole(item: string, owners: Owners): RoleToken {
  const [, name = '', file = ''] = /^([a-z]+)=(.+)$/s.exec(item) ?? [];
  const role = ROLES.find((one) => one === name);
  if (role !== undefined) return { role, token: readToken('admin-role', file, owners) };
  const forms = ROLES.map((one: Role) => `${one}=FILE`).join(', ');
  throw invalidOption(`admin-role: ${shown(item)} is not one of ${forms}`);
}

/**
 * The tokens of the options with their roles. A role may have several, so that one can be replaced.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows a token.
 */
export function tokensOf(sources: TokenSources, owners: Owners): readonly RoleToken[] {
  const { adminRole = [] } = sources;
  if (adminRole.length >= TOKENS_MAX) {
    throw invalidOption(
      `admin-role: ${adminRole.length} tokens; at most ${TOKENS_MAX - 1} are allowed`,
    );
  }
  const token = tokenOf(sources, owners);
  const tokens: RoleToken[] = token === null ? [] : [{ role: 'admin', token }];
  for (const item of adminRole) {
    const added = readRole(item, owners);
    const same = tokens.find((one) => one.token === added.token);
    if (same !== undefined && same.role !== added.role) {
      throw invalidOption(`admin-role: ${shown(item)} has the token of the role ${same.role}`);
    }
    tokens.push(added);
  }
  return tokens;
}
