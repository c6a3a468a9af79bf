// The certificates of the servers of the manager itself, which have the TLS of Node.
import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';

import type { TlsRules, TlsSettings } from './tls-rules.js';

export class ManagerCertificates {
  /** For a client that names no host, or one without a certificate: the first. */
  readonly options: SecureContextOptions;
  readonly #contexts: ReadonlyMap<string, SecureContext>;

  constructor({ certificates, frame }: TlsRules, settings: TlsSettings) {
    const { tlsGroups, tlsCiphers, tlsMinVersion } = settings;
    const all = certificates.map(({ chain, key }): SecureContextOptions => ({
      cert: chain,
      key,
      minVersion: `TLSv${tlsMinVersion}`,
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      ...(tlsGroups === undefined ? {} : { ecdhCurve: tlsGroups }),
      ...(tlsCiphers === undefined ? {} : { ciphers: tlsCiphers }),
    }));
    this.options = all[0] ?? {};
    const contexts = all.map((options) => createSecureContext(options));
    const entries = frame.names.flatMap((name, index): [string, SecureContext][] => {
      const context = contexts[frame.owners[index] ?? 0];
      return context === undefined ? [] : [[name, context]];
    });
    // The first certificate of a name is the last entry.
    this.#contexts = new Map(entries.reverse());
  }

  /** The certificate of a host, as the workers choose it: a wildcard is for one label (RFC 9525 6.3). */
  contextOf(host: string): SecureContext | undefined {
    const name = host.toLowerCase();
    return this.#contexts.get(name) ?? this.#contexts.get(name.replace(/^[^.]*(?=\.)/, '*'));
  }
}
