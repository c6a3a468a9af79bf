// How many hook requests one connection can cause: each message counts in the rate of
// its client before the application is asked, and each hook request is a command.
import { connect } from 'node:net';
import t, { type Test } from 'tap';

import { totalOf } from '../support/address-peer.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { answer, HookServer } from '../support/hook-server.js';
import { CommandClient } from '../support/websocket-peer.js';

/** Slower than a hook request on a busy machine. */
const RATE = 3;

interface Asker {
  readonly world: World;
  readonly hook: HookServer;
  readonly client: CommandClient;
}

async function start(t: Test, options: object): Promise<Asker> {
  const hook = await HookServer.start(t);
  hook.behaviour = answer({ allow: true, user: 'ada', grants: { subscribe: ['a'] } });
  const rates = { clientPublishRate: 0, commandsPerConnection: 0, ...options };
  const world = await startComet(t, { workers: 1, clientPublish: true, ...hook.options, ...rates });
  const client = new CommandClient(world.port, '/ws?channel=a');
  t.teardown(() => {
    client.close();
  });
  await client.open();
  hook.behaviour = answer({ allow: false });
  return { world, hook, client };
}

/** Sends a command, and waits for its answer. */
async function say({ client }: Asker, command: object): Promise<void> {
  const before = client.told.length;
  client.say(JSON.stringify(command));
  await until('an answer', () => client.told.length > before);
}

const withText = (client: CommandClient, text: string): number =>
  client.told.filter((told) => told.includes(text)).length;

t.test('a client causes no more hook requests than its rate of messages', async (t) => {
  const asker = await start(t, { clientPublishRate: RATE });
  const { hook, client } = asker;
  const beganMs = performance.now();
  for (let n = 0; n < 100; n++) await say(asker, { type: 'publish', channel: 'a', data: 'x' });
  const seconds = (performance.now() - beganMs) / 1000;
  const asked = hook.about('publish').length;
  t.ok(asked >= RATE, `${asked} hook requests`);
  t.ok(asked <= RATE + Math.ceil(seconds * RATE), `in ${seconds} s`);
  t.equal(
    withText(client, `too many messages: at most ${RATE}`),
    100 - asked,
    'errors for the others',
  );
});

t.test('a message that cannot be published causes no hook request', async (t) => {
  const asker = await start(t, {});
  for (const wrong of [{ data: undefined }, { id: 'i'.repeat(129) }, { channel: 'a/*' }]) {
    await say(asker, { type: 'publish', channel: 'a', data: 'x', ...wrong });
  }
  t.equal(asker.hook.about('publish').length, 0);
});

const ASKING = [
  { type: 'publish', channel: 'a', data: 'x' },
  { type: 'subscribe', channel: 'b' },
  { type: 'refresh', token: 'x' },
];

for (const command of ASKING) {
  t.test(`each hook request about ${command.type} counts as a command`, async (t) => {
    const asker = await start(t, { commandsPerConnection: RATE });
    const { world, hook, client } = asker;
    const state = { isClosed: false };
    void client.closed.then(() => (state.isClosed = true));
    const beganMs = performance.now();
    // Each second allows some more, so a slow machine sends more of them.
    while (!state.isClosed) {
      client.say(JSON.stringify(command));
      const before = client.told.length;
      await until('an answer', () => state.isClosed || client.told.length > before);
    }
    const seconds = (performance.now() - beganMs) / 1000;
    t.equal(await client.closed, 1008);
    // That of its request counts too.
    const asked = 1 + hook.about(command.type).length;
    t.ok(asked >= RATE && asked <= RATE + Math.ceil(seconds * RATE), `${asked} hook requests`);
    t.ok(withText(client, `too many commands: at most ${RATE}`) > 0, 'errors came first');
    t.ok(totalOf(world, 'limitedCommandsTotal') > RATE);
  });
}

t.test('each hook request of an HTTP connection counts as a command', async (t) => {
  const { world, hook } = await start(t, { commandsPerConnection: 1 });
  const before = hook.about('connect').length;
  let text = '';
  const state = { isClosed: false };
  const socket = connect(world.port, '127.0.0.1').setEncoding('latin1');
  socket.on('data', (more: string) => (text += more)).on('error', () => undefined);
  socket.on('close', () => (state.isClosed = true));
  const statuses = (): string[] =>
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code = '']) => code);
  const beganMs = performance.now();
  // A hook request takes less than its timeout of a second.
  while (!state.isClosed) {
    const answers = statuses().length;
    socket.write('GET /poll?channel=b HTTP/1.1\r\nHost: a\r\n\r\n');
    await until('an answer', () => state.isClosed || statuses().length > answers);
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const asked = hook.about('connect').length - before;
  t.ok(asked >= 1 && asked <= 1 + Math.ceil(seconds), `${asked} hook requests`);
  t.strictSame(statuses(), [...Array.from({ length: asked }, () => '403'), '429']);
  t.match(text, /429 [^]*Retry-After: \d+/);
  t.equal(totalOf(world, 'limitedCommandsTotal'), 1);
});
