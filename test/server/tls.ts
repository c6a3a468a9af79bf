// TLS in the workers: real servers, and Node's own TLS client.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import t from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { run, TestServer, until } from '../support/helpers.js';

const AUTHORITY = new Authority();

async function secure(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca: AUTHORITY.cert, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

async function echoed(socket: TLSSocket, text: string): Promise<string> {
  let data = '';
  socket.on('data', (chunk: Buffer) => (data += chunk.toString()));
  socket.write(text);
  await until('the echo', () => data.length >= text.length);
  return data;
}

t.test('a client with TLS is echoed', async (t) => {
  const folder = t.testdir({});
  const server = await TestServer.start(t, { args: filesOf(folder, AUTHORITY.certify()) });
  const socket = await secure(server.port);
  t.equal(socket.getProtocol(), 'TLSv1.3');
  t.equal(await echoed(socket, 'hello'), 'hello');
  const text = 'x'.repeat(100_000);
  t.equal(await echoed(socket, text), text, 'more than one record has');
  const end = once(socket, 'close');
  socket.end();
  await end;
  await until('the close', async () => (await server.total('connections')) === 0);
  t.equal(await server.total('tlsHandshakesTotal'), 1);
});

t.test(
  'plain and TLS addresses serve side by side, and a client chooses a certificate',
  async (t) => {
    const folder = t.testdir({});
    const certificates = [
      AUTHORITY.certify(),
      AUTHORITY.certify('a.example'),
      AUTHORITY.certify('*.b.example'),
    ];
    const server = await TestServer.start(t, {
      args: [
        ...filesOf(folder, ...certificates),
        ...['--listen', '127.0.0.1:0', '--listen', 'tls:127.0.0.1:0'],
      ],
    });
    const { listen } = await server.stats();
    t.match(listen, [/^127\.0\.0\.1:\d+$/, /^tls:127\.0\.0\.1:\d+$/]);
    const port = Number(listen[1]?.split(':').at(-1));
    for (const [host, name] of [
      ['127.0.0.1', 'IP Address:127.0.0.1'],
      ['A.example', 'DNS:a.example'],
      ['x.b.example', 'DNS:*.b.example'],
      ['x.y.b.example', 'IP Address:127.0.0.1'],
      ['b.example', 'IP Address:127.0.0.1'],
    ] as const) {
      const isAddress = host === '127.0.0.1';
      const socket = await secure(port, {
        rejectUnauthorized: false,
        ...(isAddress ? {} : { servername: host }),
      });
      t.equal(socket.getPeerCertificate().subjectaltname, name, host);
      socket.destroy();
    }
  },
);

t.test('a mistake in a certificate is named before anything starts', async (t) => {
  const folder = t.testdir({ text: 'no certificate' });
  const good = AUTHORITY.certify();
  const [, cert = '', , key = ''] = filesOf(folder, good);
  const write = (name: string, content: string): string => {
    const file = join(folder, name);
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };
  const other = write('other.key', AUTHORITY.certify().key);
  const old = write('old.crt', AUTHORITY.certify(undefined, Date.now() - 1000).cert);
  const reversed = write('reversed.crt', AUTHORITY.cert + good.cert);
  const rows: readonly (readonly [args: readonly string[], rule: RegExp])[] = [
    [['--tls-cert', cert], /--tls-cert: needs --tls-key/],
    [['--tls-key', key], /--tls-key: needs --tls-cert/],
    [
      ['--tls-cert', cert, '--tls-key', other],
      /tls-key: \S+other\.key is not the key of \S+0\.crt/,
    ],
    [['--tls-cert', old, '--tls-key', key], /tls-cert: \S+old\.crt expired on 20/],
    [
      ['--tls-cert', reversed, '--tls-key', key],
      /certificate 2 is not the issuer of certificate 1/,
    ],
    [['--tls-cert', join(folder, 'text'), '--tls-key', key], /text has no certificate as PEM/],
    [['--tls-cert', cert, '--tls-key', cert], /tls-key: \S+0\.crt has no private key as PEM/],
    [['--tls-cert', join(folder, 'none'), '--tls-key', key], /none cannot be read \(ENOENT\)/],
    [['--tls-cert', cert, '--tls-key', key, '--tls-key', key], /1 certificates and 2 keys/],
    [
      ['--tls-cert', cert, '--tls-key', key, '--tls-groups', 'X25519:P-1'],
      /tls-groups: OpenSSL rejects X25519:P-1/,
    ],
    [
      ['--tls-cert', cert, '--tls-key', key, '--tls-ciphers', 'TLS_AES_128_CCM_SHA256'],
      /tls-ciphers: TLS_AES_128_CCM_SHA256 is not one of/,
    ],
    [
      ['--tls-cert', cert, '--tls-key', key, '--listen', '127.0.0.1:0'],
      /tls-cert: needs --listen tls:HOST:PORT/,
    ],
    [['--listen', 'tls:127.0.0.1:0'], /listen: tls:127\.0\.0\.1:0 needs --tls-cert/],
    [['--listen', 'tls:unix:/x'], /--listen: "tls:unix:\/x" is not an address that can have TLS/],
  ];
  for (const [args, rule] of rows) {
    const { code, stderr } = await run(['serve', ...args]);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, rule);
    t.notMatch(stderr, /PRIVATE KEY|\n./, 'one sentence');
  }
});
