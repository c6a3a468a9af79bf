// Presence: counts, subscribe and unsubscribe events, member lists, and closing one connection.
import t from 'tap';

import type { ChannelPresence, MemberEvent } from '../../lib/index.js';
import { startComet, StreamClient, WebSocketClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

/** The names of all connections. */
function namesIn({ members }: ChannelPresence): string[] {
  return members.flatMap(({ names }) => names);
}

t.test('subscribe and unsubscribe events are sent while there is a listener', async (t) => {
  const world = await startComet(t, { workers: 1 });
  const { server } = world;
  const before = new StreamClient(world, ['a']);
  await before.open();
  const came: MemberEvent[] = [];
  const left: MemberEvent[] = [];
  server.on('subscribe', (event) => came.push(event));
  server.on('unsubscribe', (event) => left.push(event));
  const clients = [new StreamClient(world, ['a', 'b/*']), new StreamClient(world, ['a'])];
  // Its answer follows the command that enables events, on the same stream of the worker.
  await server.presence('a');
  for (const client of clients) await client.open();
  await until('both subscribe events', () => came.length === 3);
  t.same(came.map(({ channel }) => channel).sort(), ['a', 'a', 'b/*']);
  t.equal(new Set(came.map(({ member }) => member)).size, 2, 'a name for each connection');
  clients[0]?.close();
  await until('the unsubscribe events', () => left.length === 2);
  t.equal(new Set(left.map(({ member }) => member)).size, 1);
  t.ok(
    came.some(({ member }) => member === left[0]?.member),
    'the same name as on subscribe',
  );

  server.removeAllListeners('subscribe');
  server.removeAllListeners('unsubscribe');
  await server.presence('a');
  clients[1]?.close();
  await until('it to be gone', async () => (await server.presence('a')).subscribers === 1);
  t.equal(left.length, 2, 'without a listener no event is sent');
  before.close();
});

t.test('presence names every connection, and one can be closed by its name', async (t) => {
  const world = await startComet(t);
  const { server } = world;
  const clients = Array.from({ length: 30 }, () => new StreamClient(world, ['a', 'x/*']));
  for (const client of clients) await client.open();
  await until('all to be counted', async () => (await server.presence('a')).subscribers === 30);
  const all = await server.presence('a');
  const names = namesIn(all);
  t.equal(new Set(names).size, 30);
  t.match(all, { isComplete: true, users: 0, members: [{ user: '', connections: 30 }] });
  const pattern = await server.presence('x/*');
  t.same(namesIn(pattern).sort(), [...names].sort(), 'the same connections by a pattern');
  const some = await server.presence('a', 7);
  t.equal(namesIn(some).length, 7);
  t.equal(some.isComplete, false);
  t.equal(some.subscribers, 30, 'the count is of all');
  t.same((await server.presence('nobody')).members, []);

  const [member = ''] = names;
  t.equal(await server.disconnect({ member }), 1);
  t.equal(await server.disconnect({ member }), 0, 'it has ended');
  await until('it to be gone', async () => (await server.presence('a')).subscribers === 29);
  t.notOk(namesIn(await server.presence('a')).includes(member));
  t.equal(await server.disconnect({ member: 'nonsense' }), 0);
  t.equal(await server.disconnect({ member: '0-zz-1-1' }), 0, 'a name of an earlier worker');
  const [slot, life] = member.split('-');
  t.equal(await server.disconnect({ member: `${slot}-${life}-zzz-1` }), 0, 'never open');
  t.equal((await server.presence('a')).subscribers, 29);
  await t.rejects(server.presence('a*'), { code: 'ERR_CHANNEL' });
  for (const client of clients) client.close();
});

t.test('one connection can be closed with a reason', async (t) => {
  const world = await startComet(t);
  const { server } = world;
  const client = new WebSocketClient(world, ['a']);
  await client.open();
  let heard = '';
  client.socket?.on('close', (_code, text: Buffer) => (heard = text.toString()));
  const [member = ''] = namesIn(await server.presence('a'));
  await t.rejects(server.disconnect({ member }, 'x'.repeat(124)), { code: 'ERR_MESSAGE' });
  t.equal(await server.disconnect({ member }, 'logged in elsewhere'), 1);
  await until('the close', () => client.closeCode === 1008);
  t.equal(heard, 'logged in elsewhere');
});

t.test('a channel that is kept for reconnects has no subscribers', async (t) => {
  const world = await startComet(t);
  const { server } = world;
  const client = new StreamClient(world, ['a']);
  await client.open();
  t.equal((await server.publish('a', '1')).delivered, 1);
  client.close();
  await until('it to be gone', async () => (await server.presence('a')).subscribers === 0);
  t.equal((await server.publish('a', '2')).delivered, 0);
  t.same((await server.presence('a')).members, []);
});

t.test('the members of a worker that dies are gone, and others keep their names', async (t) => {
  const world = await startComet(t);
  const { server } = world;
  const clients = Array.from({ length: 40 }, () => new StreamClient(world, ['a']));
  for (const client of clients) await client.open();
  const names = namesIn(await server.presence('a'));
  const pid = server.stats().workers[0]?.pid ?? 0;
  const asked = server.presence('a');
  process.kill(pid, 'SIGKILL');
  t.ok(namesIn(await asked).length <= 40, 'a presence request that it cannot answer ends');
  const isOfFirst = (name: string): boolean => name.startsWith('0-');
  await until('its members to be gone', async () => {
    const now = namesIn(await server.presence('a'));
    return now.every((name) => !isOfFirst(name) || !names.includes(name));
  });
  for (const client of clients) client.close();
});
