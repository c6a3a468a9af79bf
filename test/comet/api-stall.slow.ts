// Requests of clients to a manager that is stopped for longer than they may wait: each ends with an
// error, and a late answer is not taken for the answer to another request.
import t from 'tap';

import { Secret } from '../support/client-tokens.js';
import { Program } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

t.test('requests end with an error after ten seconds, and late answers are ignored', async (t) => {
  const secret = new Secret(t);
  const program = await Program.start(t, {
    args: ['--workers', '1', '--heartbeat-limit', '60', '--token-key', secret.option],
  });
  const token = secret.token({ sub: 'ada', grants: { presence: ['a'], history: ['a'] } });
  const client = new CommandClient(program.port, `/ws?token=${token}`);
  await client.open();
  const said = ['presence', 'history', 'presence', 'history'];
  const ask = (type: string, id: string): void => {
    client.say(JSON.stringify({ type, channel: 'a', id }));
  };
  process.kill(program.server.pid, 'SIGSTOP');
  for (const [id, type] of said.entries()) ask(type, `${id}`);
  await until('the errors', () => client.told.length === said.length);
  for (const [id, text] of client.told.entries()) {
    t.equal(text, `{"type":"error","id":"${id}","error":"no answer in time; retry later"}`);
  }
  process.kill(program.server.pid, 'SIGCONT');
  await program.publish('a', 'x');
  ask('history', 'last');
  await until('its answer', () => client.told.length > said.length);
  t.match(client.told.slice(said.length), [/"type":"history","id":"last".*"data":"x"/]);
  t.equal(await program.server.total('clientRequestsLateTotal'), said.length);
  const { messages } = await program.server.stats();
  t.match(messages, { clientRequestsWaiting: 0, clientRequestsTotal: said.length + 1 });
  client.close();
  await program.server.stop();
});
