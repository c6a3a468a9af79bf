// docs/tls.md against the program: its commands run, its hook renews a certificate, its metrics exist.
import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import t, { type Test } from 'tap';

import { METRIC_TABLES } from '../../lib/api/metric-tables.js';
import { metricGroups } from '../../lib/stats/metric-list.js';
import { Authority } from '../../bench/certificates.js';
import { Command, root, run, TestServer, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const page = readFileSync(join(root, 'docs/tls.md'), 'utf8');
const AUTHORITY = new Authority();
const TOKEN = 'a-token-of-the-page';

/** The shell blocks of the page, without the line ends that a backslash joins. */
const blocks = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, text = '']) =>
  text.replaceAll(/\\\n\s*/g, ''),
);
const lines = blocks.flatMap((text) => text.trim().split('\n'));

/** The commands of the program that begin so, as their arguments. */
function commands(name: string): string[][] {
  const found = lines.filter((line) => line.startsWith(`megacomet-ts ${name} `));
  return found.map((line) => line.split(' ').slice(1));
}

/** Writes every file that the arguments name, below a folder; returns the arguments with its paths. */
function withFiles(folder: string, args: readonly string[]): string[] {
  const pairs = new Map<string, ReturnType<Authority['certify']>>();
  return args.map((word, index) => {
    const option = args[index - 1] ?? '';
    if (!option.endsWith('-file') && !/^--tls-(cert|key)$/.test(option)) {
      return word.replace(/:(443|8443|8000|9001)$/, ':0');
    }
    const file = join(folder, word.replaceAll('/', '_'));
    const number = args.slice(0, index).filter((text) => text === option).length;
    const pair = pairs.get(String(number)) ?? AUTHORITY.certify();
    pairs.set(String(number), pair);
    const content = option === '--tls-cert' ? pair.cert : option === '--tls-key' ? pair.key : TOKEN;
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  });
}

/** The subject's names of the certificate that a server shows now. */
async function namesAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? '');
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** The first server of the page, and the file of its certificate. */
async function firstServer(
  t: Test,
  folder: string,
): Promise<{ server: TestServer; certificate: string }> {
  const args = withFiles(folder, commands('serve')[0] ?? []).slice(1);
  const server = await TestServer.start(t, { args, env: { MEGACOMET_ADMIN_TOKEN: TOKEN } });
  return { server, certificate: args[args.indexOf('--tls-cert') + 1] ?? '' };
}

t.test('every command line of the page is one that this test knows', (t) => {
  const known =
    /^(megacomet-ts (serve|subscribe|status|publish|install-service) |openssl req |curl |groupadd |install )/;
  const hook = blocks.find((text) => text.startsWith('#!/bin/sh')) ?? '';
  const others = lines.filter((line) => !hook.includes(line));
  for (const line of others) t.match(line, known);
  t.equal(commands('serve').length, 5);
  t.end();
});

t.test('every server of the page starts, at the addresses that it names', async (t) => {
  for (const command of commands('serve').slice(1)) {
    const args = withFiles(t.testdir({}), command).slice(1);
    const server = await TestServer.start(t, { args });
    const { listen, admin } = await server.logged(/^listening on/);
    const all = [...(listen as string[]), ...(admin as string[])];
    const wanted = command.filter((word) => word.startsWith('tls:'));
    const found = all.filter((text) => text.startsWith('tls:'));
    t.same(
      found.map((text) => text.replace(/:\d+$/, '')),
      wanted.map((text) => text.replace(/:\d+$/, '')),
      command.join(' '),
    );
    t.match(await namesAt(Number(found[0]?.split(':').at(-1))), 'IP Address:127.0.0.1');
    await server.stop();
  }
});

t.test('the commands of the page reach their servers', async (t) => {
  const folder = t.testdir({});
  const { server } = await firstServer(t, folder);
  const ca = join(folder, 'authority.pem');
  writeFileSync(ca, AUTHORITY.cert);
  const env = { SSL_CERT_FILE: ca, NODE_EXTRA_CA_CERTS: '' };
  const subscribers = commands('subscribe').map((words) => {
    const local = words.map((word) =>
      word === 'cert.pem' ? ca : word.replace(/^(\w+):\/\/[^ ]+$/, `$1://127.0.0.1:${server.port}`),
    );
    return new Command([...local, '--count', '1'], { env });
  });
  t.equal(subscribers.length, 2);
  await server.untilTotal('subscriptions', 2);
  const send = { MEGACOMET_ADMIN_TOKEN: TOKEN };
  const at = `127.0.0.1:${server.adminPort}`;
  await run(['publish', '--admin', at, 'news', 'hello'], { env: send });
  for (const subscriber of subscribers) {
    t.match(await subscriber.run(), { code: 0, stdout: 'hello\n' });
  }
  await server.stop();

  const args = withFiles(folder, commands('serve').at(-1) ?? []).slice(1);
  const admin = await TestServer.start(t, { args: [...args, '--protocol', 'comet'] });
  for (const words of [...commands('status'), ...commands('publish')]) {
    const address = `https://127.0.0.1:${admin.adminPort}`;
    const local = words.map((word) => (word.startsWith('https://') ? address : word));
    const { code, stderr } = await run(withFiles(folder, local), { env });
    t.equal(code, 0, `${words.join(' ')} ${stderr}`);
  }
  await admin.stop();
});

t.test('the deploy hook of the page renews the certificate of a running server', async (t) => {
  const folder = t.testdir({ tls: {}, lineage: {}, bin: {} });
  const { server, certificate } = await firstServer(t, folder);
  const renewed = AUTHORITY.certify('renewed.example');
  writeFileSync(join(folder, 'lineage/fullchain.pem'), renewed.cert);
  writeFileSync(join(folder, 'lineage/privkey.pem'), renewed.key);
  // Instead of systemctl: it copies the two files to those of the server, and sends the signal.
  const key = certificate.replace(/cert\.pem$/, 'key.pem');
  const reload = `#!/bin/sh\n[ "$*" = "reload megacomet.service" ] || exit 1\n\
cp ${folder}/tls/fullchain.pem ${certificate}\ncp ${folder}/tls/privkey.pem ${key}\nkill -HUP ${server.pid}\n`;
  writeFileSync(join(folder, 'bin/systemctl'), reload);
  chmodSync(join(folder, 'bin/systemctl'), 0o755);
  const hook = (blocks.find((text) => text.startsWith('#!/bin/sh')) ?? '')
    .replace('/etc/megacomet/tls', join(folder, 'tls'))
    .replace('megacomet-tls', String(process.getgid?.()));
  const PATH = `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`;
  const { status, stderr } = spawnSync('sh', ['-c', hook], {
    encoding: 'utf8',
    env: { PATH, RENEWED_LINEAGE: join(folder, 'lineage') },
  });
  t.equal(status, 0, stderr);
  const isNew = async (): Promise<boolean> =>
    (await namesAt(server.port)) === 'DNS:renewed.example';
  await until('the new certificate', isNew);
  await server.stop();
});

t.test('install-service prints the unit that the page shows', async (t) => {
  const [words = []] = commands('install-service');
  const { code, stdout } = await run(words);
  t.equal(code, 0);
  const shown = /```ini\n\[Service\]\n(LoadCredential=[^]*?)```/.exec(page)?.[1] ?? '';
  t.match(shown, '%d/tls-1.key');
  t.ok(stdout.includes(shown), shown);
});

const OPENSSL = { skip: without('openssl') };

t.test('the certificate for a trial is one that the program accepts', OPENSSL, async (t) => {
  const folder = t.testdir({});
  const [line = ''] = lines.filter((text) => text.startsWith('openssl req '));
  const made = spawnSync('sh', ['-c', line], { cwd: folder, encoding: 'utf8' });
  t.equal(made.status, 0, made.stderr);
  const files = ['--tls-cert', join(folder, 'cert.pem'), '--tls-key', join(folder, 'key.pem')];
  const server = await TestServer.start(t, { args: ['--listen', 'tls:127.0.0.1:0', ...files] });
  t.equal(await namesAt(server.port), 'DNS:localhost, IP Address:127.0.0.1');
  await server.stop();
});

t.test('every metric of the page exists', (t) => {
  const names = metricGroups(METRIC_TABLES).flatMap(({ metrics }) =>
    metrics.map(({ name }) => name),
  );
  const found = [...page.matchAll(/`(megacomet_\w+)`/g)].map(([, name = '']) => name);
  t.ok(found.length >= 8);
  for (const name of found) t.ok(names.includes(name), name);
  t.end();
});
