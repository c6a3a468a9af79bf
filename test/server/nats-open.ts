// Opening a log of NATS: logins, TLS, and one sentence for each cause of a failure.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t, { type Test } from 'tap';

import { parseNatsUrl } from '../../lib/log/nats-address.js';
import type { NatsAccess, NatsLogin } from '../../lib/log/nats-connect.js';
import { loadNats } from '../../lib/log/nats-module.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { freePort, root } from '../support/helpers.js';
import { natsLog, NatsServer } from '../support/nats.js';
import { signedAccount } from '../support/nats-accounts.js';
import { without } from '../support/requirements.js';

const skip = without('nats-server');

const access = (login: Partial<NatsLogin>, ca: string | null = null): NatsAccess => ({
  login: () => ({ password: null, credentials: null, ...login }),
  ca,
});

/** Opens a log, appends an entry, and closes it. */
async function works(t: Test, url: string, given: NatsAccess): Promise<void> {
  const log = natsLog(url, { access: given });
  await log.open();
  t.equal(await log.append(Buffer.from('x'), { node: 'a', count: 1 }, 0), 1);
  await log.close();
}

async function fails(
  t: Test,
  url: string,
  message: RegExp,
  options: Parameters<typeof natsLog>[1] = {},
): Promise<void> {
  const log = natsLog(url, options);
  const found = await log.open().then(
    () => null,
    (error: unknown) => error as Error,
  );
  t.match(found, { name: 'MegacometError', code: 'ERR_LOG', message }, String(message));
  t.match(found?.message, /^engine: [^\n]+$/, 'one line that names the option');
  t.notMatch(found?.message, /secret/, 'no secret');
  await log.close();
}

t.test('the URL names servers, a user, and whether TLS is used', (t) => {
  const parse = (text: string): unknown => parseNatsUrl('engine', text);
  t.same(parse('nats://10.0.0.1'), {
    servers: [{ host: '10.0.0.1', port: 4222 }],
    user: null,
    isTls: false,
    name: 'nats://10.0.0.1:4222',
  });
  t.same(parse('tls://a%20b@one.example.com:4223,[fd00::1],two.example.com/'), {
    servers: [
      { host: 'one.example.com', port: 4223 },
      { host: 'fd00::1', port: 4222 },
      { host: 'two.example.com', port: 4222 },
    ],
    user: 'a b',
    isTls: true,
    name: 'tls://one.example.com:4223,[fd00::1]:4222,two.example.com:4222',
  });
  t.end();
});

t.test('a wrong URL is rejected without its secrets', (t) => {
  const wrong = [
    'nats://',
    'nats:/10.0.0.1',
    'http://10.0.0.1',
    'nats://10.0.0.1:70000',
    'nats://10.0.0.1/path',
    'nats://10.0.0.1?x=secret',
    'nats://user:secret@10.0.0.1',
    'nats://%zz@10.0.0.1',
    'nats://10.0.0.1,unix:/tmp/x',
  ];
  for (const text of wrong) {
    t.throws(() => parseNatsUrl('engine', text), {
      code: 'ERR_OPTION_INVALID',
      message: /^engine: (?!.*secret)/,
    });
  }
  t.end();
});

t.test('without the packages the error names the command that installs them', async (t) => {
  const missing = Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  await t.rejects(
    loadNats(() => Promise.reject(missing)),
    { code: 'ERR_LOG', message: /: npm install @nats-io\/transport-node @nats-io\/jetstream$/ },
  );
  await t.rejects(
    loadNats(() => Promise.reject(new Error('broken'))),
    { code: 'ERR_LOG', message: /cannot be loaded \(broken\)/ },
  );
});

t.test('servers that cannot keep the log', { skip }, async (t) => {
  const [empty, quiet] = [await freePort(), createServer(() => undefined)];
  await once(quiet.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => quiet.close());
  const { port } = quiet.address() as { port: number };
  const plain = await NatsServer.start(t, { hasJetStream: false });
  const small = await NatsServer.start(t, { lines: ['max_payload: 1024'] });
  await fails(t, `nats://127.0.0.1:${empty}`, /: connection refused: nothing listens there$/);
  await fails(t, `nats://127.0.0.1:${port}`, /: no answer in time$/);
  await fails(t, plain.url, /: JetStream is not enabled on the server: start it with -js$/);
  await fails(t, small.url, /: the server's max_payload is 1024 and must be at least 65536$/);
  await fails(t, plain.url.replace('nats:', 'tls:'), /: the server does not offer TLS/);
  const remote = { access: access({ password: 'secret' }) };
  await fails(t, 'nats://192.0.2.1:4222', /: a password needs TLS to another machine/, remote);
  const talker = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  });
  await once(talker.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => talker.close());
  const talking = talker.address() as { port: number };
  await fails(t, `nats://127.0.0.1:${talking.port}`, /: the answer is not of a NATS server$/);
});

t.test('logins with a user, a token and credentials', { skip }, async (t) => {
  const user = await NatsServer.start(t, {
    lines: ['authorization { user: app, password: secret }'],
  });
  const named = user.url.replace('//', '//app@');
  await works(t, named, access({ password: 'secret' }));
  const rejected = /: the server rejects the login: check user, password and credentials$/;
  await fails(t, named, rejected, { access: access({ password: 'secret2' }) });
  await fails(t, user.url, rejected);
  const token = await NatsServer.start(t, { lines: ['authorization { token: secret }'] });
  await works(t, token.url, access({ password: 'secret' }));
  const { lines, credentials } = signedAccount();
  const signed = await NatsServer.start(t, { lines });
  await works(t, signed.url, access({ credentials }));
  await fails(t, signed.url, rejected, {
    access: access({ credentials: signedAccount().credentials }),
  });
  await fails(t, signed.url, /: engine-credentials is not a .creds file$/, {
    access: access({ credentials: 'secret' }),
  });
});

t.test('TLS with an authority of the operator', { skip }, async (t) => {
  const authority = new Authority();
  const [, certificate, , key] = filesOf(t.testdir(), authority.certify());
  const server = await NatsServer.start(t, {
    lines: [`tls { cert_file: "${certificate}", key_file: "${key}" }`],
  });
  const url = `tls://127.0.0.1:${server.port}`;
  await works(t, url, access({}, authority.cert));
  await fails(t, url, /: the issuer of the certificate is unknown$|: a certificate of the chain/);
  await fails(
    t,
    url.replace('127.0.0.1', 'localhost'),
    /: the certificate is for another host name$/,
    {
      access: access({}, authority.cert),
    },
  );
  await fails(
    t,
    url.replace('tls:', 'nats:'),
    /: the issuer of the certificate is unknown$|: a certificate of the chain/,
  );
});

const STREAMS: readonly (readonly [config: Partial<StreamConfig>, message: RegExp])[] = [
  [{ subjects: ['other'] }, /its only subject must be log$/],
  [{ subjects: ['log', 'other'] }, /its only subject must be log$/],
  [{ retention: 'workqueue' }, /its retention must be limits$/],
  [{ discard: 'new', max_msgs: 10 }, /it must discard old messages, not new ones$/],
  [{ max_msgs_per_subject: 5 }, /it must not limit the messages of a subject$/],
  [{ duplicate_window: 60_000_000_000 }, /its duplicate window must be 2 minutes or more$/],
  [{ no_ack: true }, /it must accept messages$/],
] as const;

t.test('a stream of another program is left alone', { skip }, async (t) => {
  const server = await NatsServer.start(t);
  const connection = await connect({ servers: `127.0.0.1:${server.port}` });
  t.teardown(() => connection.close());
  const manager = await jetstreamManager(connection);
  for (const [config, message] of STREAMS) {
    await manager.streams.add({ name: 'log', subjects: ['log'], ...config });
    await fails(t, server.url, message, { name: 'log' });
    await manager.streams.delete('log');
  }
  await manager.streams.add({ name: 'log', subjects: ['log'], max_bytes: 10_000_000 });
  const log = natsLog(server.url, { name: 'log' });
  await log.open();
  await log.close();
  t.equal((await manager.streams.info('log')).config.max_bytes, 10_000_000, 'limits are kept');
  await fails(t, server.url, /replicas/, { name: 'three', replicas: 3 });
});

t.test('a user without a permission', { skip }, async (t) => {
  const users = (allowed: string): string =>
    `authorization { users = [ { user: app, password: secret, permissions: ${allowed} } ] }`;
  const cases = [
    ['{ publish: ["$JS.API.>", "$JS.FC.>"], subscribe: "_INBOX.>" }', /"megacomet"/],
    ['{ publish: ["megacomet"], subscribe: "_INBOX.>" }', /STREAM.INFO.megacomet/],
    ['{ publish: ">", subscribe: "other" }', /_INBOX/],
  ] as const;
  for (const [allowed, part] of cases) {
    const server = await NatsServer.start(t, { lines: [users(allowed)] });
    const login = { access: access({ password: 'secret' }) };
    const url = server.url.replace('//', '//app@');
    await fails(t, url, /Permissions Violation.*docs\/cluster-nats\.md/, login);
    await fails(t, url, part, login);
  }
});

t.test('the permissions of the document are enough', { skip }, async (t) => {
  const page = readFileSync(join(root, 'docs/cluster-nats.md'), 'utf8');
  const permissions = /^permissions \{\n[^]*?^\}/m.exec(page)?.[0] ?? '';
  const user = `user: app, password: secret, ${permissions.replace('permissions', 'permissions:')}`;
  const server = await NatsServer.start(t, {
    lines: [`authorization { users = [ { ${user} } ] }`],
  });
  await works(t, server.url.replace('//', '//app@'), access({ password: 'secret' }));
});
