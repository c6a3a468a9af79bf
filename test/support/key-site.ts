// An issuer of tokens with a JWKS URL, over a real HTTP server that a test can make fail.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

import type { ServerCertificate } from '../../bench/certificates.js';
import { nowS, signPublic } from './client-tokens.js';

type Algorithm = 'ES256' | 'EdDSA' | 'RS256';

function makePair(algorithm: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return generateKeyPairSync('ed25519');
}

/** A key pair with its name. */
export class IssuerKey {
  readonly #pair;

  constructor(
    readonly kid: string,
    readonly algorithm: Algorithm = 'ES256',
  ) {
    this.#pair = makePair(algorithm);
  }

  get publicKey(): KeyObject {
    return this.#pair.publicKey;
  }

  /** As the set of keys has it; `more` replaces members. */
  jwk(more: object = {}): object {
    return { ...this.#pair.publicKey.export({ format: 'jwk' }), kid: this.kid, ...more };
  }

  /** The private half as JWK, which no issuer should publish. */
  privateJwk(): object {
    return { ...this.#pair.privateKey.export({ format: 'jwk' }), kid: this.kid };
  }

  /** A token of an hour for channel a. */
  token(header: object = { kid: this.kid }): string {
    const claims = { sub: 'ada', exp: nowS() + 3600, grants: { subscribe: ['a'] } };
    return signPublic(this.algorithm, this.#pair.privateKey, claims, header);
  }
}

export class KeySite {
  /** The members `keys` of the next answers. */
  keys: readonly object[] = [];
  cacheControl = 'max-age=600';
  requests = 0;
  /** Answers instead of the set. */
  answer: RequestListener | null = null;
  readonly #server: Server | TlsServer;
  #port = 0;

  private constructor(certificate?: ServerCertificate) {
    const listener: RequestListener = (request, response) => {
      this.requests++;
      if (this.answer !== null) {
        this.answer(request, response);
        return;
      }
      response.setHeader('Cache-Control', this.cacheControl);
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ keys: this.keys }));
    };
    this.#server =
      certificate === undefined ? createServer(listener) : createTlsServer(certificate, listener);
  }

  /** With a certificate it speaks TLS. */
  static async start(
    t: Test,
    keys: readonly object[] = [],
    certificate?: ServerCertificate,
  ): Promise<KeySite> {
    const site = new KeySite(certificate);
    site.keys = keys;
    await site.open();
    t.teardown(() => site.close());
    return site;
  }

  get url(): string {
    const scheme = this.#server instanceof TlsServer ? 'https' : 'http';
    return `${scheme}://127.0.0.1:${this.#port}/keys.json`;
  }

  /** Presents another certificate from now on. */
  present(certificate: ServerCertificate): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(certificate);
  }

  /** Listens, after the first time at the same port. */
  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
