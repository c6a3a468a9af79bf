// Revocations outlive the entries of the log that had them: a server that starts when the log has
// dropped those, or lost them, rejects the tokens.
import { dirname, join } from 'node:path';

import t from 'tap';

import { nowS, Secret } from '../support/client-tokens.js';
import { command, startCluster } from '../support/cluster.js';
import { Program } from '../support/comet-world.js';
import { ENGINES } from '../support/engines.js';
import { until } from '../support/helpers.js';
import { without } from '../support/requirements.js';
import { pollStatus } from '../support/transport-requests.js';

const MIB = 1024 * 1024;
/** Of one message. */
const BYTES = 60_000;
const HISTORY = ['--history-bytes', String(MIB)];
/** Lives longer than the log that it is about. */
const EVE = { sub: 'eve', iat: nowS() - 60, exp: nowS() + 3600, grants: { subscribe: ['a'] } };

const optionsOf = (secret: Secret): string[] => [
  ...['--workers', '1', '--token-key', secret.option, ...HISTORY],
];

async function repeatedBy(nodes: readonly Program[]): Promise<number> {
  const stats = await Promise.all(nodes.map(({ server }) => server.stats()));
  return stats.reduce(
    (sum, { messages }) => sum + Number(messages?.['revocationsRepeatedTotal']),
    0,
  );
}

/** Publishes messages until the log has grown by this number of bytes. */
async function grow(nodes: readonly Program[], bytes: number): Promise<void> {
  const data = 'x'.repeat(BYTES);
  for (let count = 0; count * BYTES < bytes; count++) {
    const node = nodes[count % nodes.length];
    await until('the publish', async () => (await node?.publish('filler', data)) === 200);
  }
}

for (const engine of ENGINES) {
  t.test(`a cluster with ${engine.name}`, { skip: without(engine.program) }, async (t) => {
    const server = await engine.start(t);
    const secret = new Secret(t);
    const args = [...optionsOf(secret), '--engine-keep-bytes', String(MIB)];
    const place = { port: server.port, urlOf: engine.urlOf, args };
    const nodes = (await startCluster(t, { nodes: 2, ...place })).map(({ program }) => program);
    const [first] = nodes;
    if (first === undefined) throw new Error('a node');
    const revoked = secret.token(EVE);
    const other = secret.token({ ...EVE, sub: 'bob' });
    t.equal(await pollStatus(first, revoked), 204);
    await command(first, '/revoke', { user: 'eve' });

    const assertKnown = async (when: string): Promise<void> => {
      for (const { program } of await startCluster(t, { nodes: 1, ...place })) {
        t.equal(await pollStatus(program, revoked), 401, when);
        t.equal(await pollStatus(program, other), 204);
        nodes.push(program);
      }
    };

    // More than the log keeps, in parts: a revocation is repeated within a second.
    for (let part = 1; part <= 4; part++) {
      await grow(nodes, MIB / 2 + 2 * BYTES);
      await until('a repeat', async () => (await repeatedBy(nodes)) >= part);
    }
    await assertKnown('the log has dropped the entry of the revocation');

    await server.kill();
    await server.runEmpty();
    await until('a repeat in the empty log', async () => (await repeatedBy(nodes)) >= 5);
    await assertKnown('the log was lost');
  });
}

t.test('a server with --history-dir that starts again', async (t) => {
  const secret = new Secret(t);
  const directory = join(dirname(secret.path), 'history');
  const args = [...optionsOf(secret), '--history-dir', directory, '--history-sync', '1000'];
  let program = await Program.start(t, { args });
  const revoked = secret.token(EVE);
  await command(program, '/revoke', { user: 'eve' });
  // The log keeps 4 MiB and the file that it writes, of 16 MiB.
  for (let part = 1; part <= 18; part++) {
    await grow([program], 2 * MIB + 2 * BYTES);
    await until('a repeat', async () => (await repeatedBy([program])) >= part);
  }
  await program.server.stop();
  program = await Program.start(t, { args });
  t.equal(await pollStatus(program, revoked), 401);
  t.equal(await pollStatus(program, secret.token({ ...EVE, sub: 'bob' })), 204);
  await program.server.stop();
});
