// Requests that subscribe over each transport, as texts for plain sockets.
import { exchange } from './comet-world.js';
import { handshake } from './websocket-peer.js';

export const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;
export type Path = (typeof PATHS)[number];

/** The head of a request; a poll is answered at once. */
export function requestOf(path: Path, query: string, lines: Record<string, string> = {}): string {
  const target = `${path}?${query}${path === '/poll' ? '&timeout=0' : ''}`;
  if (path === '/ws') return handshake(target, lines);
  const head = Object.entries({ Host: 'a', ...lines }).map(([name, value]) => `${name}: ${value}`);
  return [`GET ${target} HTTP/1.1`, ...head, '', ''].join('\r\n');
}

/** The head of the response. */
export async function headOf(world: { readonly port: number }, request: string): Promise<string> {
  const text = await exchange(world.port, request, (all) => all.includes('\r\n\r\n'));
  return text.slice(0, text.indexOf('\r\n\r\n'));
}

export async function statusOf(world: { readonly port: number }, request: string): Promise<number> {
  return Number((await headOf(world, request)).split(' ')[1]);
}

/** The status of a poll with a token, which is answered at once. */
export function pollStatus(
  world: { readonly port: number },
  token: string,
  channel = 'a',
): Promise<number> {
  return statusOf(world, requestOf('/poll', `channel=${channel}&token=${token}`));
}

const SERVED: Record<Path, readonly number[]> = {
  '/events': [200],
  '/stream': [200],
  '/poll': [200, 204],
  '/ws': [101],
};

export function isServed(path: Path, status: number): boolean {
  return SERVED[path].includes(status);
}
