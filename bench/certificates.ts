// Certificates of an authority for the bench and the tests (X.509, RFC 5280), made without a tool.
import {
  generateKeyPairSync,
  sign,
  type KeyObject,
  type KeyPairKeyObjectResult,
} from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DAY_MS = 86_400_000;
/** Longer than the server warns of. */
const USUAL_DAYS = 30;

/** Tags of DER (X.690 8 and 10). */
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  text: 0x0c,
  time: 0x17,
  sequence: 0x30,
  set: 0x31,
  dnsName: 0x82,
  ipAddress: 0x87,
  version: 0xa0,
  extensions: 0xa3,
} as const;

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const long = length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  // As short as it can be: BoringSSL rejects a longer form.
  const size = length < 128 ? [length] : long;
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(TAG.sequence, ...parts);
const oid = (hex: string): Buffer => der(TAG.oid, Buffer.from(hex, 'hex'));
const integer = (value: number): Buffer => der(TAG.integer, Buffer.from([value]));
const bits = (bytes: Uint8Array): Buffer => der(TAG.bits, Buffer.from([0]), bytes);

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const COMMON_NAME = oid('550403');
const ALTERNATIVE_NAMES = oid('551d11');
const BASIC_CONSTRAINTS = oid('551d13');
const TRUE = der(TAG.boolean, Buffer.from([0xff]));

const nameOf = (text: string): Buffer =>
  sequence(der(TAG.set, sequence(COMMON_NAME, der(TAG.text, Buffer.from(text)))));

/** YYMMDDhhmmssZ */
function timeOf(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/\D/g, '').slice(2, 14);
  return der(TAG.time, Buffer.from(`${digits}Z`));
}

interface Content {
  readonly issuer: string;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly endsAtMs: number;
  readonly extension: Buffer;
}

function certificate({ issuer, subject, publicKey, endsAtMs, extension }: Content, key: KeyObject) {
  const toBeSigned = sequence(
    der(TAG.version, integer(2)),
    integer(1),
    ECDSA_WITH_SHA256,
    nameOf(issuer),
    sequence(timeOf(Math.min(Date.now(), endsAtMs) - DAY_MS), timeOf(endsAtMs)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(TAG.extensions, sequence(extension)),
  );
  const whole = sequence(toBeSigned, ECDSA_WITH_SHA256, bits(sign('sha256', toBeSigned, key)));
  const lines = whole.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** Certificate and key of a server or client, as PEM. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The arguments of a server for certificates, which are written to files of the folder. */
export function filesOf(folder: string, ...certificates: readonly ServerCertificate[]): string[] {
  return certificates.flatMap(({ cert, key }, index) => {
    const [certFile, keyFile] = [join(folder, `${index}.crt`), join(folder, `${index}.key`)];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    return ['--tls-cert', certFile, '--tls-key', keyFile];
  });
}

const ofP256 = (): KeyPairKeyObjectResult => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** An authority that no machine trusts by itself. */
export class Authority {
  readonly #name = 'authority of a test';
  readonly #pair = ofP256();
  /** Its own certificate as PEM, for those that trust it. */
  readonly cert = certificate(
    {
      issuer: this.#name,
      subject: this.#name,
      publicKey: this.#pair.publicKey,
      endsAtMs: Date.now() + USUAL_DAYS * DAY_MS,
      extension: sequence(BASIC_CONSTRAINTS, TRUE, der(TAG.octets, sequence(TRUE))),
    },
    this.#pair.privateKey,
  );

  /** For a server at 127.0.0.1, or at a DNS name; it ends in 30 days, or at another time. */
  certify(dnsName?: string, endsAtMs?: number, pair?: KeyPairKeyObjectResult): ServerCertificate {
    const name =
      dnsName === undefined
        ? der(TAG.ipAddress, Buffer.from([127, 0, 0, 1]))
        : der(TAG.dnsName, Buffer.from(dnsName));
    return this.#certify('server of a test', name, endsAtMs, pair);
  }

  /** For a client with this common name. */
  certifyClient(commonName: string, endsAtMs?: number): ServerCertificate {
    return this.#certify(commonName, der(TAG.dnsName, Buffer.from('client.example')), endsAtMs);
  }

  #certify(
    subject: string,
    name: Buffer,
    endsAtMs = Date.now() + USUAL_DAYS * DAY_MS,
    { publicKey, privateKey } = ofP256(),
  ): ServerCertificate {
    const content = {
      issuer: this.#name,
      subject,
      publicKey,
      endsAtMs,
      extension: sequence(ALTERNATIVE_NAMES, der(TAG.octets, sequence(name))),
    };
    return {
      cert: certificate(content, this.#pair.privateKey),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    };
  }
}
