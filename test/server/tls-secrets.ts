// Where private keys and the secrets of TLS connections are, and where they must not be.
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';

import { Authority, filesOf, type ServerCertificate } from '../../bench/certificates.js';
import { closed, isGone, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';
import { DATA, TlsPeer } from '../support/tls-records.js';

const AUTHORITY = new Authority();

/** Forms in which a private key could be found. */
function formsOf({ key }: ServerCertificate): Readonly<Record<string, Buffer>> {
  const lines = key.split('\n').slice(1, -2);
  return { text: Buffer.from(lines[0] ?? ''), DER: Buffer.from(lines.join(''), 'base64') };
}

interface Region {
  readonly from: number;
  readonly to: number;
  readonly isReadable: boolean;
  /** Bytes that are in memory. */
  residentBytes: number;
  isHiddenFromDumps: boolean;
}

/** The memory of a process, as proc_pid_smaps(5) lists it. */
function regionsOf(pid: number): Region[] {
  const regions: Region[] = [];
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    const [, from, to, permissions] = /^([0-9a-f]+)-([0-9a-f]+) (\S+) /.exec(line) ?? [];
    if (from !== undefined && to !== undefined) {
      regions.push({
        from: Number.parseInt(from, 16),
        to: Number.parseInt(to, 16),
        isReadable: permissions?.startsWith('r') ?? false,
        residentBytes: 0,
        isHiddenFromDumps: false,
      });
    }
    const last = regions.at(-1);
    const [, resident] = /^Rss: +(\d+) kB$/.exec(line) ?? [];
    if (last !== undefined && resident !== undefined) last.residentBytes = Number(resident) * 1024;
    if (last !== undefined && /^VmFlags:.* dd\b/.test(line)) last.isHiddenFromDumps = true;
  }
  return regions;
}

/** Bytes in memory that a core dump would leave out. */
function hiddenBytes(pid: number): number {
  const hidden = regionsOf(pid).filter(({ isHiddenFromDumps }) => isHiddenFromDumps);
  return hidden.reduce((sum, { residentBytes }) => sum + residentBytes, 0);
}

/** The names of the byte strings that the memory of a process has. */
function foundIn(pid: number, forms: Readonly<Record<string, Buffer>>): Set<string> {
  const found = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  for (const { from, to, isReadable, residentBytes } of regionsOf(pid)) {
    // V8 reserves gigabytes that are empty.
    if (!isReadable || residentBytes === 0 || to - from > 2 ** 30) continue;
    const bytes = Buffer.alloc(to - from);
    try {
      readSync(memory, bytes, 0, bytes.length, from);
    } catch {
      // Pages of the kernel cannot be read.
      continue;
    }
    for (const [name, form] of Object.entries(forms)) if (bytes.includes(form)) found.add(name);
  }
  closeSync(memory);
  return found;
}

/** The certificate that a new client gets. */
async function fingerprintOf(port: number): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca: AUTHORITY.cert });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

async function echo(peer: TlsPeer, text: string): Promise<void> {
  const before = peer.data;
  peer.say(peer.seal(DATA, text));
  await until('the echo', () => peer.data === before + text);
}

t.test(
  'a worker keeps no copy of a key as it arrived, and hides the secrets of connections',
  { skip: without('root') },
  async (t) => {
    const folder = t.testdir({});
    const certificate = AUTHORITY.certify();
    const args = [...filesOf(folder, certificate), '--workers', '1'];
    const server = await TestServer.start(t, { args });
    const pid = await server.pidOf(0);
    const before = hiddenBytes(pid);
    const peer = await TlsPeer.open(t, server.port);
    await echo(peer, 'hello');
    t.ok(hiddenBytes(pid) > before, 'the state of a connection is left out of core dumps');
    const forms = formsOf(certificate);
    t.strictSame([...foundIn(server.pid, forms)], ['text'], 'the manager has the key');
    t.strictSame([...foundIn(pid, forms)], [], 'and the worker what OpenSSL made of it');
    t.ok(foundIn(pid, { secret: peer.secrets[0] }).has('secret'), 'this finds secrets');
    const next = AUTHORITY.certify();
    filesOf(folder, next);
    process.kill(server.pid, 'SIGHUP');
    const wanted = new X509Certificate(next.cert).fingerprint256;
    await until('the next one', async () => (await fingerprintOf(server.port)) === wanted);
    t.strictSame([...foundIn(pid, formsOf(next))], [], 'also after a reload');
    peer.destroy();
    await until('the memory of its state to be returned', () => hiddenBytes(pid) === before);
    await server.stop();
  },
);

t.test('a worker with private keys leaves no core dump', async (t) => {
  const server = await TestServer.start(t, {
    args: [...filesOf(t.testdir({}), AUTHORITY.certify()), '--workers', '1'],
    through: ['prlimit', '--core=unlimited'],
    expectLog: [/^worker died$/],
  });
  const pid = await server.pidOf(0);
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  t.match(limits, /^Max core file size +1 +1 +bytes/m);
  process.kill(pid, 'SIGABRT');
  await until('another worker', () => server.workerPids.length === 2);
  t.strictSame(
    readdirSync(server.folder).filter((name) => name.startsWith('core')),
    [],
  );
  await server.stop();
});

/** The texts that others can read about a process. */
function publicTexts(pid: number): string {
  const files = ['environ', 'cmdline', 'comm'];
  return files.map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1')).join();
}

/** Two clients that give a server reasons to log; the second one breaks a rule. */
async function provoke(t: Test, server: TestServer): Promise<readonly TlsPeer[]> {
  const fine = await TlsPeer.open(t, server.port);
  const broken = await TlsPeer.open(t, server.port);
  fine.say(fine.sealUpdate(1));
  await echo(fine, 'hello');
  broken.say(Buffer.from('not a record'));
  await broken.ended();
  return [fine, broken];
}

t.test('keys and secrets are in no log, argument or variable, nor in a key log', async (t) => {
  const folder = t.testdir({});
  const certificate = AUTHORITY.certify();
  const keyLog = join(folder, 'keys.log');
  const server = await TestServer.start(t, {
    args: [...filesOf(folder, certificate), '--log-level', 'trace'],
    env: { SSLKEYLOGFILE: keyLog },
    expectLog: [/^worker died$/],
  });
  const peers = await provoke(t, server);
  process.kill(await server.pidOf(0), 'SIGKILL');
  await until('a worker more', () => server.workerPids.length > 2);
  const pids = [server.pid, ...server.workerPids].filter((pid) => !isGone(pid));
  const texts = pids.map(publicTexts).join();
  await server.stop();
  const all = Buffer.from(`${texts}${server.stdout}${server.stderr}`, 'latin1');
  const forms = [
    ...Object.values(formsOf(certificate)),
    ...peers.flatMap(({ secrets }) => secrets),
  ];
  for (const form of forms) {
    for (const text of [form, form.toString('hex'), form.toString('base64')]) {
      t.notOk(all.includes(text));
    }
  }
  t.ok(all.includes('--tls-key'), 'the texts are those of the server');
  t.notOk(existsSync(keyLog), 'SSLKEYLOGFILE is not read');
});

/** Clients that echo without end, and connect again when the server is gone. */
class Echoing {
  echoed = 0;
  lost = 0;
  #isOver = false;
  readonly #ended: Promise<unknown>;

  constructor(
    readonly port: number,
    count: number,
  ) {
    this.#ended = Promise.all(Array.from({ length: count }, () => this.#run()));
  }

  async #run(): Promise<void> {
    while (!this.#hasStopped()) {
      const socket = connect({ host: '127.0.0.1', port: this.port, ca: AUTHORITY.cert });
      socket.on('error', () => undefined);
      socket.on('secureConnect', () => socket.write('hello'));
      socket.on('data', (bytes: Buffer) => {
        this.echoed++;
        if (this.#isOver) socket.destroy();
        else socket.write(bytes);
      });
      await closed(socket);
      if (!this.#hasStopped()) this.lost++;
    }
  }

  #hasStopped(): boolean {
    return this.#isOver;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
  }
}

t.test('a worker that dies under load takes its own clients along, who reconnect', async (t) => {
  const server = await TestServer.start(t, {
    args: [...filesOf(t.testdir({}), AUTHORITY.certify()), '--workers', '2'],
    expectLog: [/^worker died$/],
  });
  const clients = new Echoing(server.port, 32);
  t.teardown(() => clients.stop());
  for (let round = 0; round < 3; round++) {
    const echoed = clients.echoed;
    await until('the load to be served', () => clients.echoed > echoed + 1000);
    await server.untilTotal('connections', 32);
    const lost = clients.lost;
    const { workers } = await server.stats();
    const slot = workers.findIndex((worker) => Number(worker['connections']) > 0);
    const own = Number(workers[slot]?.['connections']);
    process.kill(await server.pidOf(slot), 'SIGKILL');
    await until('its clients to notice', () => clients.lost === lost + own);
    await until('another worker', () => server.workerPids.length === 3 + round);
  }
  await clients.stop();
  await server.untilTotal('connections', 0);
  t.equal(await server.total('tlsHandshakes'), 0);
  t.equal(await server.total('tlsRecordsRejectedTotal'), 0);
  await server.stop();
});
