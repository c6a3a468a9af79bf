// TLS as the programs of others speak it: openssl, GnuTLS, curl, Chromium and Node.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { noBrowser, openPage, startBrowser, trusting } from '../support/browser.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { Program } from '../support/comet-world.js';
import { TestServer, until } from '../support/helpers.js';
import { serveLocally } from '../support/local-server.js';
import { without } from '../support/requirements.js';
import { SUITE_NAMES } from '../support/tls-records.js';

const AUTHORITY = new Authority();
const CERTIFICATE = AUTHORITY.certify();

interface Served {
  readonly server: TestServer;
  /** The file with the authority's certificate. */
  readonly ca: string;
}

async function startEcho(t: Test, ...args: string[]): Promise<Served> {
  const folder = t.testdir({ 'ca.crt': AUTHORITY.cert });
  const files = filesOf(folder, CERTIFICATE);
  const server = await TestServer.start(t, { args: [...files, '--workers', '1', ...args] });
  return { server, ca: join(folder, 'ca.crt') };
}

/** A program of others that the test types into. */
class Tool {
  readonly #child: ChildProcess;
  readonly ended: Promise<number | null>;
  output = '';

  constructor(t: Test, command: string, ...args: string[]) {
    this.#child = spawn(command, args, { stdio: 'pipe' });
    this.#child.stdout?.on('data', (bytes: Buffer) => (this.output += bytes.toString()));
    this.#child.stderr?.on('data', (bytes: Buffer) => (this.output += bytes.toString()));
    this.#child.stdin?.on('error', () => undefined);
    this.ended = new Promise((resolve) => this.#child.on('close', resolve));
    t.teardown(() => void this.#child.kill('SIGKILL'));
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Sends the end of the input; returns the exit code. */
  end(): Promise<number | null> {
    this.#child.stdin?.end();
    return this.ended;
  }

  /** Waits until the output has this after its present end. */
  async says(pattern: RegExp, from = 0): Promise<void> {
    await until(`${pattern} in ${this.output}`, () => pattern.test(this.output.slice(from)));
  }
}

function client(t: Test, { server, ca }: Served, ...args: string[]): Tool {
  const target = ['-connect', `127.0.0.1:${server.port}`, '-CAfile', ca, '-verify_return_error'];
  return new Tool(t, 'openssl', 's_client', ...target, ...args);
}

t.test(
  'openssl s_client is echoed with each suite, and renews keys',
  { skip: without('openssl') },
  async (t) => {
    const served = await startEcho(t);
    for (const suite of SUITE_NAMES) {
      const tool = client(t, served, '-ciphersuites', suite);
      await tool.says(new RegExp(`Cipher is ${suite}`));
      await tool.says(/Verify return code: 0 \(ok\)/);
      // A line of k renews the client's key, one of K asks for the server's too.
      for (const line of ['one', 'k', 'two', 'K', 'three', 'K', 'K', 'four']) {
        const from = tool.output.length;
        tool.type(`${line}\n`);
        await tool.says(line.length > 1 ? new RegExp(`${line}\n`) : /KEYUPDATE/, from);
      }
      t.equal(await tool.end(), 0, suite);
    }
    t.equal(await served.server.total('tlsRecordsRejectedTotal'), 0);
    await served.server.stop();
  },
);

t.test('openssl s_client resumes its session', { skip: without('openssl') }, async (t) => {
  const served = await startEcho(t);
  const file = join(served.server.folder, 'session');
  const first = client(t, served, '-sess_out', file);
  first.type('hello\n');
  await first.says(/^hello$/m);
  t.equal(await first.end(), 0);
  const second = client(t, served, '-sess_in', file);
  await second.says(/^Reused, TLSv1\.3/m);
  second.type('hello again\n');
  await second.says(/^hello again$/m);
  t.equal(await second.end(), 0);
  // It connects five times more, with the session of the first time.
  const third = client(t, served, '-tls1_2', '-reconnect');
  await until('six connections', () => (third.output.match(/^Reused, /gm)?.length ?? 0) === 5);
  await third.end();
  t.equal(await served.server.total('tlsResumedTotal'), 6);
  await served.server.stop();
});

t.test('older versions and renegotiation are rejected', { skip: without('openssl') }, async (t) => {
  const served = await startEcho(t);
  for (const version of ['-tls1', '-tls1_1']) {
    const tool = client(t, served, version, '-cipher', 'ALL:@SECLEVEL=0');
    t.not(await tool.end(), 0, version);
    t.match(tool.output, /alert protocol version|no protocols available/);
  }
  const tool = client(t, served, '-tls1_2');
  await tool.says(/Verify return code: 0 \(ok\)/);
  tool.type('R\n');
  await tool.says(/no renegotiation/);
  t.not(await tool.end(), 0);
  await served.server.stop();
});

t.test('gnutls-cli is echoed, and renews keys', { skip: without('gnutls-cli') }, async (t) => {
  const { server, ca } = await startEcho(t);
  const target = [`--x509cafile=${ca}`, '--inline-commands', `--port=${server.port}`, '127.0.0.1'];
  const tool = new Tool(t, 'gnutls-cli', ...target);
  await tool.says(/Handshake was completed/);
  t.match(tool.output, /Description: \(TLS1\.3/);
  for (const line of ['one', '^rekey^', 'two', '^rekey1^', 'three']) {
    const from = tool.output.length;
    tool.type(`${line}\n`);
    await tool.says(line.startsWith('^') ? /rekey/i : new RegExp(`${line}\n`), from);
  }
  t.equal(await tool.end(), 0);
  await server.stop();
});

t.test(
  'curl reads events, and gets HTTP/1.1 where it prefers HTTP/2',
  { skip: without('curl') },
  async (t) => {
    const folder = t.testdir({ 'ca.crt': AUTHORITY.cert });
    const program = await Program.start(t, { args: filesOf(folder, CERTIFICATE) });
    const url = `https://127.0.0.1:${program.port}/events?channel=a`;
    const tool = new Tool(t, 'curl', '-sSNv', '--http2', '--cacert', join(folder, 'ca.crt'), url);
    await tool.says(/event: megacomet\.subscribed/);
    t.match(tool.output, /ALPN.*http\/1\.1/);
    t.match(tool.output, /< HTTP\/1\.1 200 OK/);
    t.equal(await program.publish('a', 'hello curl'), 200);
    await tool.says(/data: hello curl/);
    await program.server.stop();
    await tool.ended;
    t.notMatch(tool.output, /curl: \((?!18)/, 'the end is in order');
  },
);

t.test('Node connects with each version and group, and protocols are agreed', async (t) => {
  const { server } = await startEcho(t);
  const rows = [
    { minVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.2' },
    { ecdhCurve: 'X25519' },
    { ecdhCurve: 'P-256' },
    { ecdhCurve: 'P-384' },
    { ALPNProtocols: ['h2', 'http/1.1'] },
    { ALPNProtocols: ['http/1.1'] },
  ] as const;
  for (const options of rows) {
    const socket = connectTls({
      host: '127.0.0.1',
      port: server.port,
      ca: AUTHORITY.cert,
      ...options,
      ALPNProtocols: [...('ALPNProtocols' in options ? options.ALPNProtocols : [])],
    });
    await once(socket, 'secureConnect');
    t.equal(socket.alpnProtocol, 'ALPNProtocols' in options ? 'http/1.1' : false);
    socket.write('hello');
    t.equal(String(await once(socket, 'data')), 'hello', JSON.stringify(options));
    socket.end();
    await once(socket, 'close');
  }
  const other = connectTls({
    host: '127.0.0.1',
    port: server.port,
    ca: AUTHORITY.cert,
    ALPNProtocols: ['h2'],
  });
  const [error] = (await once(other, 'error')) as [Error];
  t.match(error.message, /no application protocol/);
  await server.stop();
});

/** A page that subscribes with both clients of a browser. */
const PAGE = `<!doctype html><script>
  const seen = (window.seen = []);
  const { host } = new URL(location.hash.slice(1));
  const source = new EventSource('https://' + host + '/events?channel=a');
  source.addEventListener('message', ({ data }) => seen.push('events ' + data));
  source.addEventListener('megacomet.subscribed', () => seen.push('events open'));
  const socket = new WebSocket('wss://' + host + '/ws?channel=a');
  socket.addEventListener('message', ({ data }) => {
    const note = JSON.parse(data);
    seen.push('socket ' + (note.type === 'message' ? note.data : note.type));
  });
</script>`;

t.test('EventSource and WebSocket of Chromium receive messages', { skip: noBrowser }, async (t) => {
  const folder = t.testdir({});
  const program = await Program.start(t, {
    args: [...filesOf(folder, CERTIFICATE), '--origin', '*'],
  });
  const pages = await serveLocally(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  });
  const browser = await startBrowser(t, trusting(CERTIFICATE));
  const url = `http://127.0.0.1:${pages}/#https://127.0.0.1:${program.port}`;
  const page = await openPage(t, browser, url);
  const seen = (): Promise<string[]> => page.evaluate('window.seen');
  await until('both to subscribe', async () => (await seen()).length === 2);
  for (const data of ['one', 'x'.repeat(40_000)]) t.equal(await program.publish('a', data), 200);
  await until('all messages', async () => (await seen()).length === 6);
  const words = (await seen()).map((word) => (word.length > 40 ? `${word.slice(0, 8)}…` : word));
  t.strictSame(words.sort(), [
    ...['events one', 'events open', 'events x…', 'socket one', 'socket subscribed', 'socket x…'],
  ]);
  await program.server.stop();
});
