// Knowledge and text of outsiders in the log, the stats and the metrics.
import { createConnection } from 'node:net';

import t, { type Test } from 'tap';

import { AddressPeer } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { Program } from '../support/comet-world.js';
import { until } from '../support/helpers.js';

const ADMIN_TOKEN = 'what-only-the-operator-knows';

t.test('log, stats and metrics name no user, channel, message or token', async (t) => {
  const secret = new Secret(t);
  const program = await Program.start(t, {
    args: ['--token-key', secret.option, '--workers', '1', '--connections-per-user', '1'],
    env: { MEGACOMET_ADMIN_TOKEN: ADMIN_TOKEN },
  });
  const channel = 'channel-of-secrets';
  const claims = { sub: 'user-of-secrets', jti: 'id-of-secrets', info: { is: 'info-of-secrets' } };
  const token = secret.token({ ...claims, grants: { subscribe: [channel] } });
  const open = (sent: string): AddressPeer =>
    new AddressPeer(
      t,
      program.port,
      `GET /events?channel=${channel}&token=${sent} HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
  const peer = open(token);
  await program.untilTotal('subscriptions', 1);
  t.match(await open(token).answer(), /200|429/, 'one more than the user may have');
  for (let count = 0; count < 40; count++) {
    t.equal(await open(`${token}x`).answer(), '401', 'a wrong token');
  }
  const message = { channel, data: 'data-of-secrets', id: 'message-of-secrets' };
  const headers = { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' };
  const admin = `http://127.0.0.1:${program.server.adminPort}`;
  const post = { method: 'POST', headers, body: JSON.stringify(message) };
  t.equal((await fetch(`${admin}/publish`, post)).status, 200);
  await until('the message', () => peer.text.includes('data-of-secrets'));
  const texts: string[] = [program.server.stdout];
  for (const path of ['/stats', '/metrics', '/info', '/healthz', '/readyz']) {
    const response = await program.server.get(path);
    t.equal(response.status, 200, path);
    texts.push(await response.text());
  }
  await program.server.stop();
  texts.push(program.server.stdout);
  const [, payload = '', signature = ''] = token.split('.');
  for (const word of ['of-secrets', ADMIN_TOKEN, payload.slice(0, 20), signature]) {
    t.notOk(
      texts.some((text) => text.includes(word)),
      word,
    );
  }
});

/** Sends bytes, and waits for the end or an answer. */
function send(t: Test, port: number, bytes: Buffer): Promise<void> {
  const socket = createConnection(port, '127.0.0.1', () => socket.write(bytes));
  t.teardown(() => socket.destroy());
  return new Promise((resolve) => {
    socket
      .on('error', () => undefined)
      .on('close', () => {
        resolve();
      });
    socket.once('data', () => {
      socket.destroy();
    });
  });
}

t.test('no byte of a client forges a line of the log, or moves a cursor', async (t) => {
  const secret = new Secret(t);
  const program = await Program.start(t, {
    args: ['--token-key', secret.option, '--workers', '1'],
    expectLog: [/^many requests are rejected/, /^a page of /, /^a peer spoke another protocol/],
  });
  // Controls of ASCII and of C1, the line ends of Unicode, and a direction override.
  const forged = [
    '\n{"level":60}',
    '\r',
    '\x1b[2J',
    '\x7f',
    '\x9b2J',
    '\u0085',
    '\u2028',
    '\u202e',
  ];
  const texts = [...forged, ...forged.map(encodeURIComponent), '%0a%0d%1b%00', '"\\'];
  for (const text of texts) {
    for (const head of [
      `GET /${text} HTTP/1.1\r\nHost: a\r\n`,
      `GET /events?channel=${text} HTTP/1.1\r\nHost: a\r\n`,
      `GET /events?channel=a HTTP/1.1\r\nHost: a\r\nOrigin: http://a${text}\r\n`,
      `GET /ws?channel=a HTTP/1.1\r\nHost: ${text}\r\nAuthorization: Bearer ${text}\r\n`,
      `${text} / HTTP/1.1\r\n`,
    ]) {
      for (const encoding of ['utf8', 'latin1'] as const) {
        await send(t, program.port, Buffer.from(`${head}\r\n`, encoding));
      }
    }
  }
  await program.server.logged(/^many requests are rejected/);
  await program.server.logged(/^a page of /);
  await program.server.stop();
  const lines = program.server.stdout.split('\n').slice(0, -1);
  for (const line of lines) {
    const { level, msg } = JSON.parse(line) as { level: number; msg: string };
    t.ok(level < 60, 'no forged line');
    t.notMatch(msg, /[\p{Cc}\u2028\u2029\u202e]/u, JSON.stringify(msg));
  }
});
