// Clients that stop within a handshake are closed at its deadline, which is ten seconds.
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { closed, TestServer, until } from '../support/helpers.js';
import { beginHandshake, DATA, HANDSHAKE_CUTS, TlsPeer } from '../support/tls-records.js';

t.test('a client that stops anywhere in its handshake is closed at the deadline', async (t) => {
  const server = await TestServer.start(t, {
    args: [...filesOf(t.testdir({}), new Authority().certify()), '--workers', '1'],
  });
  const witness = await TlsPeer.open(t, server.port);
  const stopped = await Promise.all(
    HANDSHAKE_CUTS.map((cut) => beginHandshake(t, server.port, cut)),
  );
  await Promise.all(stopped.map((socket) => closed(socket.resume())));
  await server.untilTotal('closedTlsTotal', HANDSHAKE_CUTS.length);
  t.equal(await server.total('tlsHandshakes'), 0);
  t.equal(await server.total('connections'), 1, 'a client that is connected stays');
  witness.say(witness.seal(DATA, 'hello'));
  await until('the echo', () => witness.data === 'hello');
  await server.stop();
});
