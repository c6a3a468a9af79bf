// Two hundred thousand connections that come and go, and ten thousand that stay a while: nothing is
// left behind, no descriptor, no memory, no count.
import t from 'tap';
import { spawn } from 'node:child_process';

import { procReader, readPrivateBytes } from '../../lib/system/kernel.js';
import { Command, compile, descriptorsOf, TestServer, until } from '../support/helpers.js';

const CYCLES = 200_000;
const DIALERS = 2;
const HELD = 10_000;
/** The share of memory that may be kept after all have left; churn may keep a megabyte of heap besides. */
const KEPT_SHARE = 0.1;
const KEPT_BYTES = 1_000_000;

interface Footprint {
  readonly bytes: number;
  readonly descriptors: number;
}

function footprintsOf(pids: readonly number[]): Footprint[] {
  return pids.map((pid) => ({
    bytes: readPrivateBytes(procReader, pid) ?? Infinity,
    descriptors: descriptorsOf(pid).length,
  }));
}

async function pidsOf(server: TestServer): Promise<number[]> {
  return (await server.stats()).workers.map(({ pid }) => pid ?? 0);
}

/** Resolves to its standard error, which is empty after a success. */
function churn(program: string, port: number, first: number): Promise<string> {
  const cycles = String(CYCLES / DIALERS);
  const args = ['--pdeathsig', 'KILL', program, '127.0.0.1', String(port), cycles, String(first)];
  const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve(code === 0 ? text : `${text}exit code ${code ?? 'unknown'}`);
    });
  });
}

t.test('200,000 connections that come and go in every way leave nothing', async (t) => {
  const program = compile(t, 'churn.c');
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  const pids = await pidsOf(server);
  const before = footprintsOf(pids);
  const dialers = Array.from({ length: DIALERS }, (_, index) =>
    churn(program, server.port, (index * CYCLES) / DIALERS),
  );
  t.same(await Promise.all(dialers), ['', ''], 'every cycle went as it should');
  await until('all to be gone', async () => (await server.total('connections')) === 0);
  const { totals } = await server.stats();
  t.equal(totals['acceptedTotal'], CYCLES, 'each was accepted');
  t.equal(totals['closedTotal'], CYCLES, 'and closed');
  const causes = Number(totals['closedPeerTotal']) + Number(totals['closedResetTotal']);
  t.equal(causes, CYCLES, 'by its peer');
  t.equal(totals['acceptFailedTotal'], 0, 'no accept failed');
  const isBack = ({ bytes, descriptors }: Footprint, index: number): boolean => {
    const old = before[index] ?? { bytes: 0, descriptors: 0 };
    const bytesMax = old.bytes * (1 + KEPT_SHARE) + KEPT_BYTES;
    return descriptors === old.descriptors && bytes <= bytesMax;
  };
  await until('descriptors and memory to be back', () => footprintsOf(pids).every(isBack)).catch(
    () => undefined,
  );
  const after = footprintsOf(pids);
  t.ok(after.every(isBack), `before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
  t.same(await pidsOf(server), pids, 'no worker was replaced');
  await server.stop();
});

t.test('10,000 connections that leave give their memory back', async (t) => {
  const server = await TestServer.start(t, { args: ['--workers', '2'] });
  const pids = await pidsOf(server);
  const before = footprintsOf(pids);
  const bench = new Command([
    ...['bench', '--target', `127.0.0.1:${server.port}`, '--connections', String(HELD)],
    ...['--admin', `127.0.0.1:${server.adminPort}`, '--verify', '--hold', '1'],
  ]);
  await until('all to be open', async () => (await server.total('connections')) === HELD);
  const open = footprintsOf(pids).reduce((sum, { descriptors }) => sum + descriptors, 0);
  const bare = before.reduce((sum, { descriptors }) => sum + descriptors, 0);
  t.equal(open - bare, HELD, 'each has one descriptor');
  const { code, stderr } = await bench.run();
  t.equal(code, 0, `every one of them was answered: ${stderr.split('\n').at(-1) ?? ''}`);
  await until('all to be gone', async () => (await server.total('connections')) === 0);
  const isBack = ({ bytes, descriptors }: Footprint, index: number): boolean => {
    const old = before[index] ?? { bytes: 0, descriptors: 0 };
    return descriptors === old.descriptors && bytes <= old.bytes * (1 + KEPT_SHARE);
  };
  await until('descriptors and memory to be back', () => footprintsOf(pids).every(isBack)).catch(
    () => undefined,
  );
  const after = footprintsOf(pids);
  t.ok(after.every(isBack), `before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
  await server.stop();
});
