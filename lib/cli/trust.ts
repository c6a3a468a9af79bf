// Which certificates of a server a command accepts: those of --ca, or of the authorities that this
// system trusts.
import { X509Certificate } from 'node:crypto';
import { createSecureContext, rootCertificates } from 'node:tls';

import type { Trust } from '../api/admin-client.js';
import { invalidOption } from '../base/call-check.js';
import { readOptionFile } from '../base/option-file.js';
import { isPem } from '../base/pem.js';
import { readSmallFile } from '../base/small-file.js';
import type { Settings } from '../options/config.js';

/** Debian has 220,000 bytes. */
const FILE_BYTES_MAX = 1_000_000;

/** Of Debian, Fedora, openSUSE and Alpine. */
const SYSTEM_FILES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Node has authorities of its own, without those that the owner of this machine has added. */
function systemAuthorities(env: NodeJS.ProcessEnv): Buffer | null {
  // Node adds these to its own, but not to a list of ours.
  if ((env['NODE_EXTRA_CA_CERTS'] ?? '') !== '') return null;
  const named = env['SSL_CERT_FILE'] ?? '';
  for (const file of named === '' ? SYSTEM_FILES : [named]) {
    try {
      return readSmallFile(file, FILE_BYTES_MAX);
    } catch {
      // The next one.
    }
  }
  return null;
}

/** @throws MegacometError `ERR_OPTION_INVALID`. */
function readAuthorities(file: string): Buffer {
  const ca = readOptionFile('--ca', file, FILE_BYTES_MAX);
  try {
    if (!isPem(ca.toString('latin1'))) throw new Error('no PEM');
    // An authority that is damaged would be ignored.
    new X509Certificate(ca);
    createSecureContext({ ca });
    return ca;
  } catch {
    throw invalidOption(`--ca: ${file} has no valid certificate as PEM`);
  }
}

/**
 * The authorities for a process that has OpenSSL's rules, and not those of Node: with
 * NODE_EXTRA_CA_CERTS Node trusts its own and those of that file.
 */
export function dialedAuthorities({ authorities, verifies }: Accepted, env = process.env) {
  const extra = env['NODE_EXTRA_CA_CERTS'] ?? '';
  if (!verifies || authorities !== null || extra === '') return authorities;
  const own = Buffer.from(`${rootCertificates.join('\n')}\n`);
  try {
    const added = readSmallFile(extra, FILE_BYTES_MAX);
    return added === null ? own : Buffer.concat([own, added]);
  } catch {
    // Node has warned about the file and goes on without it.
    return own;
  }
}

/** The certificates that --ca and --insecure accept. */
export interface Accepted {
  /** Of the authorities, as PEM; null for those that OpenSSL or Node finds itself. */
  readonly authorities: Buffer | null;
  /** Whether a certificate must be valid. */
  readonly verifies: boolean;
}

/** @throws MegacometError `ERR_OPTION_INVALID`. */
export function acceptedOf(settings: Settings, env = process.env): Accepted {
  const ca = settings['ca'] as string | undefined;
  const verifies = settings['insecure'] !== true;
  if (!verifies && ca !== undefined)
    throw invalidOption('--ca: cannot be combined with --insecure');
  if (!verifies) return { authorities: null, verifies };
  return { authorities: ca === undefined ? systemAuthorities(env) : readAuthorities(ca), verifies };
}

/**
 * The trust that the options of a command express.
 *
 * @param isTls - Whether the server has TLS: without it the options would protect nothing.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function trustOf(settings: Settings, isTls: boolean, env = process.env): Trust {
  if (isTls) {
    const { authorities, verifies } = acceptedOf(settings, env);
    if (!verifies) return { rejectUnauthorized: false };
    return authorities === null ? {} : { secureContext: createSecureContext({ ca: authorities }) };
  }
  const isInsecure = settings['insecure'] === true;
  if (settings['ca'] === undefined && !isInsecure) return {};
  throw invalidOption(`${isInsecure ? '--insecure' : '--ca'}: needs an address with https`);
}
