// The rules of TLS: from the options to the frame that the workers get.
import { createSecureContext } from 'node:tls';

import { invalidOption } from '../base/call-check.js';
import { isPem } from '../base/pem.js';
import { reasonOf } from '../base/reason.js';
import type { Frames } from '../ipc/frames.js';
import { readCertificate, readIssuers, type Certificate } from './certificates.js';

/** The options of tls-options.ts. */
export interface TlsSettings {
  readonly tlsCert?: readonly string[];
  readonly tlsKey?: readonly string[];
  readonly tlsClientCa?: readonly string[];
  readonly tlsMinVersion: '1.2' | '1.3';
  readonly tls12Connections: number;
  readonly tlsGroups?: string;
  readonly tlsCiphers?: string;
  readonly tlsTicketKeyFile?: string;
}

/** Certificates with their frame. */
export interface TlsRules {
  readonly certificates: readonly Certificate[];
  /** Its limits are those of the whole server: see shareOf(). */
  readonly frame: Frames['Tls'];
}

const CERTIFICATES_MAX = 64;
/** All certificates and keys must fit into one frame. */
const PEM_BYTES_MAX = 1_000_000;
/** The record layer of the workers knows these suites of TLS 1.3 (RFC 8446 B.4). */
const SUITES = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
] as const;

/** The suites of TLS 1.3 and the ciphers of TLS 1.2 that a list names. */
function splitCiphers(list: string): { readonly suites: string; readonly ciphers: string } {
  const names = list.split(':');
  const suites = names.filter((name) => name.startsWith('TLS_'));
  const unknown = suites.find((name) => !SUITES.some((suite) => suite === name));
  if (unknown !== undefined) {
    throw invalidOption(`tls-ciphers: ${unknown} is not one of ${SUITES.join(', ')}`);
  }
  const ciphers = names.filter((name) => !name.startsWith('TLS_'));
  return { suites: suites.join(':'), ciphers: ciphers.join(':') };
}

/** Tries the options in OpenSSL of this process, which is that of the workers. */
function tryContext(settings: TlsSettings, certificate: Certificate): void {
  const { tlsGroups, tlsCiphers, tlsMinVersion } = settings;
  const attempts = [
    ['tls-groups', tlsGroups, { ecdhCurve: tlsGroups }],
    ['tls-ciphers', tlsCiphers, { ciphers: tlsCiphers }],
  ] as const;
  for (const [name, value, options] of attempts) {
    if (value === undefined) continue;
    try {
      createSecureContext(options);
    } catch (error) {
      throw invalidOption(`${name}: OpenSSL rejects ${value} (${reasonOf(error)})`);
    }
  }
  try {
    createSecureContext({
      cert: certificate.chain,
      key: certificate.key,
      minVersion: `TLSv${tlsMinVersion}`,
    });
  } catch (error) {
    throw invalidOption(`tls-cert: OpenSSL rejects ${certificate.label} (${reasonOf(error)})`);
  }
}

function readAll(settings: TlsSettings, nowMs: number): readonly Certificate[] {
  const { tlsCert = [], tlsKey = [] } = settings;
  if (tlsCert.length !== tlsKey.length) {
    const counts = `${tlsCert.length} certificates and ${tlsKey.length} keys`;
    throw invalidOption(`tls-key: ${counts}; each certificate needs its own key`);
  }
  if (tlsCert.length > CERTIFICATES_MAX) {
    throw invalidOption(
      `tls-cert: ${tlsCert.length} certificates; at most ${CERTIFICATES_MAX} are allowed`,
    );
  }
  return tlsCert.map((cert, index) =>
    readCertificate({ cert, key: tlsKey[index] ?? '', number: index + 1 }, nowMs),
  );
}

/** The frame for each worker. */
export function shareOf(frame: Frames['Tls'], workers: number): Frames['Tls'] {
  return { ...frame, tls12ConnectionsMax: Math.ceil(frame.tls12ConnectionsMax / workers) };
}

/** The files with private keys, and the one with the secret of ticket keys. */
export function keyFiles({ tlsKey = [], tlsTicketKeyFile }: TlsSettings): readonly string[] {
  const files = tlsKey.filter((item) => !isPem(item));
  return tlsTicketKeyFile === undefined ? files : [...files, tlsTicketKeyFile];
}

/**
 * Reads certificates and keys, and checks all options of TLS. Null without a certificate.
 *
 * @param nowMs - Milliseconds of the epoch.
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows a key.
 */
export function readTls(settings: TlsSettings, nowMs: number): TlsRules | null {
  if (settings.tlsCert === undefined) return null;
  const certificates = readAll(settings, nowMs);
  for (const certificate of certificates) tryContext(settings, certificate);
  const clientCa = readIssuers(settings.tlsClientCa ?? []);
  const bytes = certificates.reduce(
    (sum, { chain, key }) => sum + chain.length + key.length,
    clientCa.length,
  );
  if (bytes > PEM_BYTES_MAX) {
    const rule = `at most ${PEM_BYTES_MAX} are allowed`;
    throw invalidOption(`tls-cert: all certificates and keys have ${bytes} bytes; ${rule}`);
  }
  const { suites, ciphers } = splitCiphers(settings.tlsCiphers ?? '');
  const hosts = certificates.flatMap(({ names }, index) => names.map((name) => ({ name, index })));
  return {
    certificates,
    frame: {
      tls12ConnectionsMax: settings.tlsMinVersion === '1.3' ? 0 : settings.tls12Connections,
      groups: settings.tlsGroups ?? '',
      ciphers,
      suites,
      clientCa,
      chains: certificates.map(({ chain }) => chain),
      keys: certificates.map(({ key }) => key),
      names: hosts.map(({ name }) => name),
      owners: hosts.map(({ index }) => index),
    },
  };
}
