// The options of hooks: the actions that the application decides, and how it is asked.
import type { Authorize, AuthorizeAction } from '../base/authorize.js';
import { invalidOption, invalidUrl, invalidValue } from '../base/call-check.js';
import { isToken } from '../base/field-name.js';
import { readSecretFile } from '../base/shared-secret.js';
import { shownUrl } from '../base/shown-url.js';
import { HookAction, type Frames } from '../ipc/frames.js';
import { IN_FLIGHT_MAX } from './authorization.js';
import { HttpHook } from './http-hook.js';

/** The options of hook-options.ts, and the function of the library. */
export interface HookSettings {
  readonly hookUrl?: string;
  readonly hookSecret?: string;
  readonly hookAction?: readonly string[];
  readonly hookHeader?: readonly string[];
  readonly hookCookie?: readonly string[];
  readonly authorize?: Authorize;
}

/** How the application is asked. */
export interface Hook {
  readonly rules: Frames['Hooks'];
  readonly authorize: Authorize;
  /** Reads the secret again. @throws MegacometError `ERR_OPTION_INVALID`; the old one stays. */
  reload(): void;
  close(): void;
}

const NAMES_MAX = 16;
const NAME_BYTES_MAX = 64;

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  const isValid =
    url !== null &&
    ['http:', 'https:'].includes(url.protocol) &&
    url.username === '' &&
    url.password === '' &&
    url.hash === '';
  if (!isValid)
    throw invalidUrl('hook-url', text, 'an http or https URL without user and fragment');
  return url;
}

function readNames(option: string, names: readonly string[]): readonly string[] {
  if (names.length > NAMES_MAX) {
    throw invalidOption(`${option}: ${names.length} names; at most ${NAMES_MAX} are allowed`);
  }
  for (const name of names) {
    if (name.length <= NAME_BYTES_MAX && isToken(name)) continue;
    throw invalidValue(option, name, `a name of 1 to ${NAME_BYTES_MAX} letters`);
  }
  return [...new Set(names)];
}

function readHeaders(names: readonly string[]): readonly string[] {
  const headers = readNames('hook-header', names);
  if (headers.some((name) => name.toLowerCase() === 'cookie')) {
    throw invalidOption(
      'hook-header: Cookie has all cookies of a page; name one with --hook-cookie',
    );
  }
  return headers;
}

function readActions(actions: readonly string[]): readonly number[] {
  const known: Readonly<Record<string, number>> = HookAction;
  return [...new Set(actions)].map((action) => {
    const number = Object.hasOwn(known, action) ? known[action] : undefined;
    if (number !== undefined) return number;
    throw invalidValue('hook-action', action, `one of ${Object.keys(known).join(', ')}`);
  });
}

/** Whether clients are asked about. */
export function hasHook({ hookUrl, authorize }: HookSettings): boolean {
  return hookUrl !== undefined || authorize !== undefined;
}

function readHookSecret(path: string): Buffer {
  return readSecretFile('hook-secret', path);
}

function readHttpHook(address: string, secretFile: string | undefined): Omit<Hook, 'rules'> {
  const url = readUrl(address);
  if (secretFile === undefined) {
    throw invalidOption(
      `hook-url: ${shownUrl(address)} needs --hook-secret, which signs the requests`,
    );
  }
  const secret = readHookSecret(secretFile);
  const hook = new HttpHook({ url, secret, inFlightMax: IN_FLIGHT_MAX });
  return {
    authorize: hook.authorize,
    reload: () => {
      hook.setSecret(readHookSecret(secretFile));
    },
    close: () => {
      hook.close();
    },
  };
}

const ALL_ACTIONS = Object.keys(HookAction) as readonly AuthorizeAction[];

/**
 * Reads and checks the options.
 *
 * @returns Null for a server without a hook.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function readHook(settings: HookSettings): Hook | null {
  const { hookUrl, hookSecret, authorize } = settings;
  if (!hasHook(settings)) return null;
  if (hookUrl !== undefined && authorize !== undefined) {
    throw invalidOption('hook-url: authorize decides; give only one of them');
  }
  const rules = {
    actions: readActions(settings.hookAction ?? ALL_ACTIONS),
    headers: readHeaders(settings.hookHeader ?? []),
    cookies: readNames('hook-cookie', settings.hookCookie ?? []),
  };
  if (hookUrl !== undefined) return { rules, ...readHttpHook(hookUrl, hookSecret) };
  if (authorize === undefined) return null;
  return { rules, authorize, reload: () => undefined, close: () => undefined };
}
