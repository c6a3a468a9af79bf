// Clients without a token: an application decides, over HTTP, on every transport.
import t from 'tap';

import { exchange, type World } from '../support/comet-world.js';
import { answer } from '../support/hook-server.js';
import { startHooked } from '../support/hook-world.js';
import { handshake } from '../support/websocket-peer.js';

const PATHS = ['/events', '/stream', '/poll', '/ws'] as const;
type Path = (typeof PATHS)[number];

const TRANSPORTS: Record<Path, string> = {
  '/events': 'sse',
  '/stream': 'stream',
  '/poll': 'poll',
  '/ws': 'websocket',
};

/** The head of a request; a poll is answered at once. */
function requestOf(path: Path, query: string, lines: Record<string, string> = {}): string {
  const target = `${path}?${query}${path === '/poll' ? '&timeout=0' : ''}`;
  if (path === '/ws') return handshake(target, lines);
  const head = Object.entries({ Host: 'a', ...lines }).map(([name, value]) => `${name}: ${value}`);
  return [`GET ${target} HTTP/1.1`, ...head, '', ''].join('\r\n');
}

/** The start of a response: head, and the first block of a body that goes on. */
async function responseTo(world: World, request: string): Promise<string> {
  return exchange(world.port, request, (all) => all.includes('\r\n\r\n'));
}

async function statusOf(world: World, request: string): Promise<number> {
  return Number((await responseTo(world, request)).split(' ')[1]);
}

const SERVED: Record<Path, readonly number[]> = {
  '/events': [200],
  '/stream': [200],
  '/poll': [200, 204],
  '/ws': [101],
};

const ADA = { allow: true, user: 'ada', grants: { subscribe: ['a', 'news/*'] } };

for (const workers of [1, 2]) {
  t.test(`the application allows and denies on every transport, ${workers} workers`, async (t) => {
    const world = await startHooked(t, {
      workers,
      hookHeader: ['X-Session', 'Authorization'],
      hookCookie: ['session'],
    });
    const { hook } = world;
    for (const path of PATHS) {
      hook.asked.length = 0;
      hook.behaviour = answer(ADA);
      const lines = {
        'X-Session': 's1',
        Cookie: 'other=1; session=c1',
        'Sec-Fetch-Site': 'same-origin',
        'X-Other': 'never',
      };
      const status = await statusOf(world, requestOf(path, 'channel=a&channel=news/1', lines));
      t.ok(SERVED[path].includes(status), `${path}: ${status}`);
      t.strictSame(hook.asked, [
        {
          action: 'connect',
          channels: ['a', 'news/1'],
          user: '',
          transport: TRANSPORTS[path],
          address: '127.0.0.1',
          token: '',
          headers: { 'X-Session': 's1' },
          cookies: { session: 'c1' },
        },
      ]);
      hook.behaviour = answer({ allow: false, status: 401, reason: 'log in again' });
      const unknown = await responseTo(world, requestOf(path, 'channel=a'));
      t.match(unknown, /^HTTP\/1\.1 401 .*\r\nWWW-Authenticate: Bearer realm="megacomet-ts"\r\n/s);
      t.match(unknown, /\{"error":"log in again"\}/);
      hook.behaviour = answer({ allow: false });
      t.match(
        await responseTo(world, requestOf(path, 'channel=a')),
        /^HTTP\/1\.1 403 .*not allowed/s,
      );
    }
    t.ok(
      hook.bodies.every((_body, index) => hook.isSigned(index)),
      'each request is signed',
    );
  });
}
