// Requests of applications and clients while the manager is stopped: each is answered once, when it
// runs again, and no order is lost or carried out twice.
import t from 'tap';

import { Secret } from '../support/client-tokens.js';
import { Program, StreamClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

const GRANTS = { subscribe: ['a', 'b'], presence: ['a'], history: ['a'] };

t.test('requests that wait for a stopped manager are answered once', async (t) => {
  const secret = new Secret(t);
  const program = await Program.start(t, {
    args: ['--workers', '1', '--heartbeat-limit', '60', '--token-key', secret.option],
  });
  const token = secret.token({ sub: 'ada', grants: GRANTS });
  const listener = new StreamClient(program, ['a']);
  listener.token = token;
  await listener.open();
  const clients = [1, 2, 3].map(() => new CommandClient(program.port, `/ws?token=${token}`));
  await Promise.all(clients.map((client) => client.open()));
  await program.publish('a', 'before');
  await listener.has(1);

  process.kill(program.server.pid, 'SIGSTOP');
  const said = ['presence', 'history', 'history'];
  for (const client of clients) {
    for (const [id, type] of said.entries()) {
      client.say(JSON.stringify({ type, channel: 'a', id: `${id}` }));
    }
    client.say('{"type":"ping"}');
  }
  // The worker has the requests, because it answers commands in their order.
  await until('the pongs', () => clients.every(({ told }) => told.length === 1));
  const orders = Promise.all([
    program.request('/broadcast', { channels: ['a', 'b'], data: 'during' }),
    program.request('/subscribe', { user: 'ada', channels: ['b'] }),
    program.request('/publish', { channel: 'a', data: 'after' }),
  ]);
  process.kill(program.server.pid, 'SIGCONT');

  for (const response of await orders) t.equal(response.status, 200);
  const answersOf = ({ told }: CommandClient, type: string): string[] =>
    told.filter((text) => text.startsWith(`{"type":"${type}"`));
  await until('the answers', () =>
    clients.every(
      (one) => answersOf(one, 'presence').length + answersOf(one, 'history').length === 3,
    ),
  );
  await until('the order', () => clients.every((one) => answersOf(one, 'subscribed').length === 1));
  await listener.has(3);
  t.same(listener.data.slice().sort(), ['after', 'before', 'during']);
  for (const client of clients) {
    t.match(answersOf(client, 'presence'), [/"id":"0".*"subscribers":1,"users":1/]);
    t.match(answersOf(client, 'history'), [/"id":"1".*"before"/, /"id":"2".*"before"/]);
    t.equal(client.told.length, 5, 'and nothing else');
    client.close();
  }
  t.equal(await program.server.total('clientRequestsLateTotal'), 0);
  t.equal(await program.server.total('clientRequestsRejectedTotal'), 0);
  const presence = await (await program.server.get('/stats')).json();
  t.match(presence, { messages: { clientRequestsWaiting: 0, clientRequestsTotal: 9 } });
  listener.close();
  await program.server.stop();
});
