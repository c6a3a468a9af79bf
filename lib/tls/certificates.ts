// Certificates and their private keys: read from files, and checked before a worker uses them.
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

import { invalidOption } from '../base/call-check.js';
import { readOptionFile } from '../base/option-file.js';
import { isPem } from '../base/pem.js';

/** A certificate as the workers get it. */
export interface Certificate {
  /** The file, or `certificate N`. */
  readonly label: string;
  /** PEM: the certificate of the server, then its issuers. */
  readonly chain: string;
  /** PEM. */
  readonly key: string;
  /** Host names in lower case; a wildcard begins with `*.`. */
  readonly names: readonly string[];
  /** Milliseconds of the epoch after which clients reject it. */
  readonly endsAtMs: number;
}

/** Files, or their contents as PEM. */
export interface CertificateSource {
  readonly cert: string;
  readonly key: string;
  /** Position among the certificates, from 1: the name of one without a file. */
  readonly number: number;
}

interface Text {
  readonly label: string;
  readonly text: string;
}

const BLOCKS = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

function read(option: string, source: string, label: string): Text {
  if (isPem(source)) return { label, text: source };
  return { label: source, text: readOptionFile(option, source).toString('latin1') };
}

function parseChain({ label, text }: Text): [X509Certificate, ...X509Certificate[]] {
  const blocks = text.match(BLOCKS) ?? [];
  let certificates: X509Certificate[];
  try {
    certificates = blocks.map((block) => new X509Certificate(block));
  } catch {
    throw invalidOption(`tls-cert: ${label} has a damaged certificate`);
  }
  const [leaf, ...issuers] = certificates;
  if (leaf === undefined) throw invalidOption(`tls-cert: ${label} has no certificate as PEM`);
  return [leaf, ...issuers];
}

/** Clients need the issuers in their order (RFC 8446 4.4.2), and few forgive a wrong one. */
function checkChain(label: string, chain: readonly X509Certificate[]): void {
  chain.forEach((certificate, index) => {
    const issuer = chain[index + 1];
    if (issuer === undefined || certificate.checkIssued(issuer)) return;
    throw invalidOption(
      `tls-cert: ${label}: certificate ${index + 2} is not the issuer of certificate ${index + 1}; ` +
        'the certificate of the server comes first, then its issuers in order',
    );
  });
}

function checkDates(label: string, leaf: X509Certificate, nowMs: number): void {
  const begins = Date.parse(leaf.validFrom);
  const ends = Date.parse(leaf.validTo);
  if (nowMs > ends) {
    throw invalidOption(`tls-cert: ${label} expired on ${new Date(ends).toISOString()}`);
  }
  if (nowMs < begins) {
    throw invalidOption(`tls-cert: ${label} is not valid before ${new Date(begins).toISOString()}`);
  }
}

function parseKey({ label, text }: Text): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw invalidOption(
      `tls-key: ${label} is encrypted; a server cannot ask for the pass phrase: decrypt it with openssl pkey`,
    );
  }
  try {
    return createPrivateKey(text);
  } catch {
    throw invalidOption(`tls-key: ${label} has no private key as PEM`);
  }
}

/** The host names of a certificate (RFC 9525 6.1): clients do not look into its subject. */
function namesOf(leaf: X509Certificate): string[] {
  const entries = (leaf.subjectAltName ?? '').split(/,\s*/);
  const names = entries.filter((entry) => entry.startsWith('DNS:')).map((entry) => entry.slice(4));
  return [...new Set(names.map((name) => name.toLowerCase()))];
}

/**
 * Reads a certificate and its key, and checks that they fit together, the order of the issuers, and
 * the dates.
 *
 * @param nowMs - Milliseconds of the epoch.
 * @throws MegacometError `ERR_OPTION_INVALID`; no message shows the key.
 */
export function readCertificate(source: CertificateSource, nowMs: number): Certificate {
  const text = read('tls-cert', source.cert, `certificate ${source.number}`);
  const keyText = read('tls-key', source.key, `key ${source.number}`);
  const chain = parseChain(text);
  const [leaf] = chain;
  checkChain(text.label, chain);
  checkDates(text.label, leaf, nowMs);
  if (!leaf.checkPrivateKey(parseKey(keyText))) {
    throw invalidOption(`tls-key: ${keyText.label} is not the key of ${text.label}`);
  }
  return {
    label: text.label,
    chain: chain.map((certificate) => certificate.toString()).join(''),
    key: keyText.text,
    names: namesOf(leaf),
    endsAtMs: Date.parse(leaf.validTo),
  };
}

/**
 * The issuers of client certificates in one text; empty without a source.
 *
 * @param sources - Files, or their contents as PEM.
 * @throws MegacometError `ERR_OPTION_INVALID`.
 */
export function readIssuers(sources: readonly string[]): string {
  const texts = sources.map((source, index) => {
    const { label, text } = read('tls-client-ca', source, `issuer ${index + 1}`);
    const blocks = text.match(BLOCKS) ?? [];
    if (blocks.length === 0)
      throw invalidOption(`tls-client-ca: ${label} has no certificate as PEM`);
    for (const block of blocks) checkIssuer(label, block);
    return blocks.join('\n');
  });
  return texts.length === 0 ? '' : `${texts.join('\n')}\n`;
}

function checkIssuer(label: string, block: string): void {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(block);
  } catch {
    throw invalidOption(`tls-client-ca: ${label} has a damaged certificate`);
  }
  if (certificate.ca) return;
  throw invalidOption(`tls-client-ca: ${label} has a certificate that is not one of an issuer`);
}
