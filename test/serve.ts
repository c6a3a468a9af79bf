// `megacomet-ts serve` as a user meets it: addresses, echo, limits, signals.
import t from 'tap';

import { Clients, connect, echoes, TestServer } from './helpers.js';

void t.test('a server with no option but its ports echoes, counts, and ends cleanly', async (t) => {
  const server = await TestServer.start(t);
  const clients = await Clients.open(t, server.port, 50);
  t.equal(await clients.answering(), 50, 'every client is answered');
  t.equal(await server.total('connections'), 50, 'the gauge counts them');
  t.equal(await server.total('echoedTotal'), 50, 'the echoes are counted');
  await server.stop();
});
void connect;
void echoes;
