// Parts of the URL of an engine that are the same for all engines.
import { parsePeer, type Peer } from '../base/address.js';
import { invalidOption } from '../base/call-check.js';

/**
 * The user of `USER@`; null without one.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the user.
 */
export function parseEngineUser(label: string, info: string | undefined): string | null {
  if (info === undefined || info === '') return null;
  if (info.includes(':')) {
    // A command line is readable by every user of the machine, and URLs end up in logs.
    throw invalidOption(
      `${label}: the URL has a password; set ${label}-password-file, or ${label}-password in the environment`,
    );
  }
  try {
    return decodeURIComponent(info);
  } catch {
    throw invalidOption(`${label}: the user of the URL is not percent-encoded correctly`);
  }
}

/**
 * `HOST:PORT`, or `HOST` with the default port.
 *
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function parseEngineServer(label: string, text: string, defaultPort: number): Peer {
  const isV6Alone = /^\[[^\]]*\]$/.test(text);
  const hasPort = !isV6Alone && /:\d+$/.test(text);
  const { isUnix, host, port } = parsePeer(label, hasPort ? text : `${text}:${defaultPort}`);
  if (isUnix) throw invalidOption(`${label}: a server of the URL is not HOST:PORT`);
  return { host, port };
}
