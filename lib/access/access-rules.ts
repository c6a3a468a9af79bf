// The access rules of the comet protocols, as the workers receive them.
import { invalidOption, invalidValue } from '../base/call-check.js';
import { isToken } from '../base/field-name.js';
import { CHANNEL_BYTES_MAX } from '../base/native-constants.js';
import { readSecretFile } from '../base/shared-secret.js';
import { AccessFlag, type Frames } from '../ipc/frames.js';
import { hasHook, type HookSettings } from './hook-rules.js';
import { parseKeyUrl } from './key-request.js';
import { parseKeySource, readKey, type TokenKey } from './token-keys.js';

/** The options of access-options.ts. */
export interface AccessSettings extends HookSettings {
  readonly tokenKey?: readonly string[];
  readonly tokenJwksUrl?: string;
  readonly signKey?: readonly string[];
  readonly mailboxAuth?: string;
  readonly tokenIssuer?: string;
  readonly tokenAudience?: string;
  readonly tokenLeeway: number;
  readonly tokenWithoutExpiry?: boolean;
  readonly tokenCookie?: string;
  readonly public?: readonly string[];
  readonly tlsClientCa?: readonly string[];
}

/** Keys that are valid at the same time, such as the old and the new one of a rotation. */
const KEYS_MAX = 64;
const PATTERNS_MAX = 256;
/** Each costs a hash for a URL that is not validly signed. */
const SIGN_KEYS_MAX = 8;

function checkPatterns(patterns: readonly string[]): void {
  if (patterns.length > PATTERNS_MAX) {
    throw invalidOption(`public: ${patterns.length} patterns; at most ${PATTERNS_MAX} are allowed`);
  }
  for (const pattern of patterns) {
    const isValid = Buffer.byteLength(pattern) <= CHANNEL_BYTES_MAX && !/\p{Cc}/u.test(pattern);
    if (!isValid) {
      const rule = `1 to ${CHANNEL_BYTES_MAX} bytes without control characters`;
      throw invalidValue('public', pattern, rule);
    }
  }
}

function checkCookie(name: string): void {
  if (isToken(name)) return;
  throw invalidValue('token-cookie', name, 'the name of a cookie');
}

/** Whether anything is said about access; else everybody may do everything. */
export function isOpen(settings: AccessSettings): boolean {
  const { signKey, public: patterns, tlsClientCa } = settings;
  const isSilent = [signKey, patterns, tlsClientCa].every((one) => one === undefined);
  return isSilent && !readsTokens(settings) && !hasHook(settings);
}

/** Whether clients can have a user: of a token, of the application's decision or of a certificate. */
export function hasUsers(settings: AccessSettings): boolean {
  return readsTokens(settings) || hasHook(settings) || settings.tlsClientCa !== undefined;
}

/** Whether clients may present tokens. */
export function readsTokens(settings: Pick<AccessSettings, 'tokenJwksUrl' | 'tokenKey'>): boolean {
  return settings.tokenKey !== undefined || settings.tokenJwksUrl !== undefined;
}

/** The URL of the issuer's keys; null without one. @throws MegacometError `ERR_OPTION_INVALID`. */
export function keyUrlOf({ tokenJwksUrl }: AccessSettings): URL | null {
  return tokenJwksUrl === undefined ? null : parseKeyUrl('token-jwks-url', tokenJwksUrl);
}

/** Whether a key of tokens is public, as those of identity providers are. */
export function hasPublicKey({ tokenKey = [], tokenJwksUrl }: AccessSettings): boolean {
  const isPublic = (item: string): boolean =>
    parseKeySource('token-key', item).algorithm !== 'HS256';
  return tokenJwksUrl !== undefined || tokenKey.some(isPublic);
}

/** The files with secrets, which only this server and the issuer may read. */
export function secretFiles(settings: AccessSettings): readonly string[] {
  const { tokenKey = [], signKey = [], hookSecret } = settings;
  const sources = tokenKey.map((item) => parseKeySource('token-key', item));
  const files = sources.filter(({ algorithm }) => algorithm === 'HS256').map(({ path }) => path);
  return [...files, ...signKey, ...(hookSecret === undefined ? [] : [hookSecret])];
}

/** The secrets of signed URLs, as the workers get them. */
function readUrlKeys({ signKey = [], mailboxAuth }: AccessSettings): readonly string[] {
  if (signKey.length > SIGN_KEYS_MAX) {
    throw invalidOption(`sign-key: ${signKey.length} keys; at most ${SIGN_KEYS_MAX} are allowed`);
  }
  if (mailboxAuth === 'signed' && signKey.length === 0) {
    throw invalidOption('mailbox-auth: "signed" needs --sign-key');
  }
  return signKey.map((path) => readSecretFile('sign-key', path).toString('base64url'));
}

/** The public channels: all of them where nothing but a certificate is demanded. */
function publicsOf(settings: AccessSettings): readonly string[] {
  if (settings.public !== undefined) return settings.public;
  const hasOtherRules =
    readsTokens(settings) || settings.signKey !== undefined || hasHook(settings);
  return settings.tlsClientCa === undefined || hasOtherRules ? [] : ['*'];
}

function keyFields(
  keys: readonly TokenKey[],
): Pick<Frames['Access'], 'algorithms' | 'keyIds' | 'keys'> {
  return {
    algorithms: keys.map(({ algorithm }) => algorithm),
    keyIds: keys.map(({ keyId }) => keyId),
    keys: keys.map(({ bytes }) => bytes.toString('base64url')),
  };
}

/** The rules with the keys of the URL besides those of files; null for keys that are not known. */
export function withRemoteKeys(
  access: Frames['Access'],
  remote: readonly TokenKey[] | null,
): Frames['Access'] {
  if (remote === null) return access;
  const { algorithms, keyIds, keys } = keyFields(remote);
  return {
    ...access,
    flags: access.flags & ~AccessFlag.keysPending,
    algorithms: [...access.algorithms, ...algorithms],
    keyIds: [...access.keyIds, ...keyIds],
    keys: [...access.keys, ...keys],
  };
}

/**
 * Reads the keys of files, and checks all rules. The keys of the URL are pending.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function readAccess(settings: AccessSettings): Frames['Access'] | null {
  if (isOpen(settings) && settings.mailboxAuth !== 'signed') return null;
  const { tokenKey = [], tokenIssuer, tokenAudience, tokenLeeway, tokenCookie } = settings;
  const publics = publicsOf(settings);
  if (tokenKey.length > KEYS_MAX) {
    throw invalidOption(`token-key: ${tokenKey.length} keys; at most ${KEYS_MAX} are allowed`);
  }
  checkPatterns(publics);
  if (tokenCookie !== undefined) checkCookie(tokenCookie);
  const keys = tokenKey.map((item) => readKey(parseKeySource('token-key', item)));
  const isRemote = keyUrlOf(settings) !== null;
  return {
    flags:
      (isRemote ? AccessFlag.remoteKeys | AccessFlag.keysPending : 0) |
      (settings.mailboxAuth === 'signed' ? AccessFlag.signedMailboxes : 0) |
      (settings.tokenWithoutExpiry === true ? AccessFlag.noExpiry : 0) |
      (settings.tlsClientCa === undefined ? 0 : AccessFlag.certificates),
    urlKeys: readUrlKeys(settings),
    ...keyFields(keys),
    issuer: tokenIssuer ?? '',
    audience: tokenAudience ?? '',
    cookie: tokenCookie ?? '',
    leewayS: tokenLeeway,
    publics,
  };
}
