// The TLS of a planned server, by the options of doctor, plan and install-service.
import type { TlsLoad } from '../capacity/sizing.js';
import type { Settings } from '../options/config.js';

export function tlsOf(settings: Settings): { readonly tls?: TlsLoad } {
  if (settings['tls'] !== true) return {};
  return { tls: { tls12Connections: settings['tls12Connections'] as number } };
}
