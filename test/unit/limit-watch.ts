// Warnings about limits: one line for each crossing, one for the steps of a counter, and none twice
// within ten minutes.
import t from 'tap';

import type { Reader } from '../../lib/system/kernel.js';
import { LimitWatch, LOOK_INTERVAL_MS } from '../../lib/stats/limit-watch.js';
import { silentLogger } from '../../lib/base/logger.js';

const MINUTE_MS = 60_000;
const FILE_NR = '/proc/sys/fs/file-nr';
const NETSTAT = '/proc/net/netstat';

type Line = Readonly<Record<string, unknown>> & { readonly msg: string };

function netstat(overflows: number, pressures = 0): string {
  return `TcpExt: ListenOverflows TCPMemoryPressures\nTcpExt: ${overflows} ${pressures}\n`;
}

/** A machine whose files a test writes, and a watch over it. */
class Scene {
  readonly files: Record<string, string | undefined>;
  readonly #lines: Line[] = [];
  readonly #watch: LimitWatch;
  #nowMs = 0;

  constructor(files: Record<string, string | undefined> = {}) {
    this.files = {
      '/proc/sys/fs/file-max': '1000\n',
      [FILE_NR]: '100\t0\t1000\n',
      [NETSTAT]: netstat(0),
      ...files,
    };
    const read: Reader = (path) => this.files[path];
    const warn = (fields: object, msg: string): number => this.#lines.push({ ...fields, msg });
    this.#watch = new LimitWatch(read, { ...silentLogger, warn });
  }

  /** Checks once after a time. Returns the lines that the check logged. */
  look(afterMs = LOOK_INTERVAL_MS, connections = 0): readonly Line[] {
    this.#nowMs += afterMs;
    this.#watch.look(connections, 1000, this.#nowMs);
    return this.#lines.splice(0);
  }

  /** Checks once with a number of open files. */
  withFiles(open: number, afterMs = LOOK_INTERVAL_MS): readonly Line[] {
    this.files[FILE_NR] = `${open}\t0\t1000\n`;
    return this.look(afterMs);
  }
}

t.test('a crossing logs one line with all values and the fix', (t) => {
  const scene = new Scene();
  t.same(scene.look(), [], 'all limits are far');
  t.same(scene.withFiles(799), [], 'just below');
  t.same(scene.withFiles(800), [
    {
      limit: 'fs.file-max',
      used: 800,
      max: 1000,
      headroom: 0.2,
      fix: 'raise fs.file-max (sysctl.d)',
      msg: 'fs.file-max is more than 80 % used',
    },
  ]);
  t.same(scene.withFiles(999), [], 'no line while the use grows');
  t.same(scene.withFiles(1000, 60 * MINUTE_MS), [], 'no line an hour later');
  t.end();
});

t.test('a limit is logged again after it was below 70 %, and after ten minutes', (t) => {
  const scene = new Scene();
  t.equal(scene.withFiles(900).length, 1, 'the first crossing');
  scene.withFiles(700);
  t.same(scene.withFiles(900, 11 * MINUTE_MS), [], '70 % is not below 70 %');
  scene.withFiles(699);
  t.equal(scene.withFiles(800).length, 1, 'the second');
  scene.withFiles(100, MINUTE_MS);
  t.same(scene.withFiles(900, MINUTE_MS), [], 'less than ten minutes after the second line');
  scene.withFiles(100, MINUTE_MS);
  t.same(scene.withFiles(900, 6 * MINUTE_MS), [], 'still less than ten minutes');
  t.equal(scene.look(2 * MINUTE_MS).length, 1, 'logged after ten minutes if it is still crossed');
  t.end();
});

t.test('a limit that disappears can be logged again', (t) => {
  const count = '/proc/sys/net/netfilter/nf_conntrack_count';
  const scene = new Scene({ [count]: '95\n', '/proc/sys/net/netfilter/nf_conntrack_max': '100\n' });
  t.match(scene.look(), [{ limit: 'net.netfilter.nf_conntrack_max', used: 95 }]);
  scene.files[count] = '0\n';
  t.same(scene.look(), []);
  scene.files[count] = '85\n';
  t.match(scene.look(11 * MINUTE_MS), [{ used: 85 }], 'logged when it reappears');
  t.end();
});

t.test('each limit is logged on its own', (t) => {
  const scene = new Scene({
    '/proc/sys/fs/epoll/max_user_watches': '1000\n',
    '/proc/sys/net/ipv4/tcp_mem': '75\t100\t150\n',
    '/proc/net/sockstat': 'TCP: inuse 5 orphan 0 tw 1 alloc 6 mem 99\n',
    [FILE_NR]: '900\t0\t1000\n',
  });
  const names = scene.look(LOOK_INTERVAL_MS, 950).map(({ limit }) => limit);
  t.same(names, ['fs.file-max', 'fs.epoll.max_user_watches', 'net.ipv4.tcp_mem']);
  t.end();
});

t.test('--max-connections is never logged: the operator chose it', (t) => {
  const scene = new Scene();
  for (const connections of [799, 800, 1000]) {
    t.same(scene.look(LOOK_INTERVAL_MS, connections), [], `${connections} of 1000`);
  }
  t.end();
});

t.test('a counter that grows is logged with its increase', (t) => {
  const scene = new Scene({ [NETSTAT]: netstat(5000, 70) });
  t.same(scene.look(), [], 'the value at the start is not an increase');
  scene.files[NETSTAT] = netstat(5007, 70);
  t.same(scene.look(), [
    {
      limit: 'listen queue',
      counter: 'ListenOverflows',
      added: 7,
      fix: 'raise net.core.somaxconn and --backlog, or add workers',
      msg: 'ListenOverflows moved: the listen queue was hit',
    },
  ]);
  scene.files[NETSTAT] = netstat(5007, 72);
  t.match(scene.look(), [
    { limit: 'net.ipv4.tcp_mem', counter: 'TCPMemoryPressures', added: 2, fix: /tcp_mem/ },
  ]);
  t.same(scene.look(60 * MINUTE_MS), [], 'a counter that does not grow is not logged again');
  t.end();
});

t.test('the next line includes increases within the quiet time', (t) => {
  const scene = new Scene();
  scene.files[NETSTAT] = netstat(3);
  t.match(scene.look(), [{ added: 3 }]);
  scene.files[NETSTAT] = netstat(1003);
  t.same(scene.look(), [], 'no line after five seconds');
  t.same(scene.look(9 * MINUTE_MS), [], 'no line after nine minutes');
  scene.files[NETSTAT] = netstat(1004);
  t.match(scene.look(MINUTE_MS), [{ added: 1001 }], 'then the whole increase');
  t.end();
});

t.test('a counter that appears, disappears or falls has no increase', (t) => {
  const scene = new Scene({ [NETSTAT]: undefined });
  t.same(scene.look(), []);
  scene.files[NETSTAT] = netstat(400);
  t.same(scene.look(), [], 'the first known value');
  scene.files[NETSTAT] = undefined;
  t.same(scene.look(), [], 'unreadable');
  scene.files[NETSTAT] = netstat(10);
  t.same(scene.look(), [], 'a smaller one');
  scene.files[NETSTAT] = netstat(11);
  t.match(scene.look(), [{ added: 1 }], 'increases count from the smaller value');
  t.end();
});

t.test('a machine without readable files logs nothing', (t) => {
  const scene = new Scene();
  for (const path of Object.keys(scene.files)) scene.files[path] = undefined;
  t.same(scene.look(), []);
  t.end();
});
