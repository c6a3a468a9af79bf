// The warning before a long run of the bench over loopback.
import t from 'tap';

import { keepaliveWarning } from '../../lib/cli/keepalive-warning.js';

const MILLION = 1_000_000;
const LOOPBACK = { isUnix: false, host: '127.0.0.1', port: 1 };
const TLS = { authorities: null, verifies: true, serverName: null, resumes: false };
const RUN = {
  ...{ targets: [LOOPBACK], connections: MILLION, rate: 0, hold: 5, duration: 1, tls: TLS },
};
const read = (path: string): string | undefined =>
  path.endsWith('netdev_max_backlog') ? '1000\n' : undefined;

t.test('a run over loopback that keep-alive probes would end is warned of', (t) => {
  const rows: readonly (readonly [name: string, run: typeof RUN | object, warns: boolean])[] = [
    ['a million handshakes', {}, true],
    ['a million without TLS, which open in half a minute', { tls: null }, false],
    ['the same with a long hold', { tls: null, hold: 300 }, true],
    ['the same at a low rate', { tls: null, rate: 1000 }, true],
    ['a rate whose probes fit into the queue', { tls: null, rate: 100 }, false],
    ['few connections', { connections: 1000, hold: 600 }, false],
    ['a server on another machine', { targets: [{ ...LOOPBACK, host: '192.0.2.1' }] }, false],
    ['a unix socket', { targets: [{ ...LOOPBACK, isUnix: true, host: '/x' }] }, false],
  ];
  for (const [name, change, warns] of rows) {
    const warning = keepaliveWarning({ ...RUN, ...change }, read, 2);
    t.equal(warning !== null, warns, name);
  }
  t.match(keepaliveWarning(RUN, read, 2), /net\.core\.netdev_max_backlog \(1000\).*--keepalive 0$/);
  t.equal(
    keepaliveWarning(RUN, () => undefined, 2),
    null,
    'a kernel that hides the queue',
  );
  t.end();
});
