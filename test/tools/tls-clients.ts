// The commands against servers with TLS: certificates that they accept, and the sentence for any other.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { ServerWatch } from '../../lib/bench/server-watch.js';
import { baseOf } from '../../lib/cli/subscription.js';
import { trustOf } from '../../lib/cli/trust.js';
import type { Settings } from '../../lib/options/config.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { Program, TOKEN } from '../support/comet-world.js';
import { Command, run } from '../support/helpers.js';
import { KeySite } from '../support/key-site.js';

const AUTHORITY = new Authority();
const env = { MEGACOMET_ADMIN_TOKEN: TOKEN, NODE_EXTRA_CA_CERTS: '' };

function authorityFile(folder: string): string {
  const file = join(folder, 'authority.pem');
  writeFileSync(file, AUTHORITY.cert);
  return file;
}

t.test('every command reaches a server with TLS by https and wss', async (t) => {
  const folder = t.testdir({});
  const ca = authorityFile(folder);
  const program = await Program.start(t, {
    args: [
      ...['--workers', '1', ...filesOf(folder, AUTHORITY.certify())],
      ...['--listen', 'tls:127.0.0.1:0', '--admin-listen', '127.0.0.1:0'],
      ...['--admin-listen', 'tls:127.0.0.1:0'],
    ],
  });
  const { admin } = await program.server.logged(/^listening on/);
  const tls = (admin as string[]).find((text) => text.startsWith('tls:')) ?? '';
  const https = tls.replace('tls:', 'https://');
  const subscribers = ['https', 'wss'].map((scheme) => {
    const url = `${scheme}://127.0.0.1:${program.port}`;
    return new Command(['subscribe', url, 'news', '--count', '1', '--ca', ca], { env });
  });
  await program.untilTotal('subscriptions', 2);
  const at = (address: string): string[] => ['--admin', address, '--ca', ca];
  const published = await run(['publish', 'news', 'hello', ...at(https)], { env });
  t.match(published, { code: 0, stdout: /to 2 subscribers/ });
  for (const subscriber of subscribers) {
    t.match(await subscriber.run(), { code: 0, stdout: 'hello\n', stderr: '' });
  }
  const status = await run(['status', ...at(tls)], { env });
  t.match(status, { code: 0, stdout: /protocol {5}comet/ }, 'as the log writes the address');
  const named = { ...env, MEGACOMET_ADMIN_LISTEN: tls };
  const channels = await run(['channels', '--insecure'], { env: named });
  t.match(channels, { code: 0, stdout: /^news {2}0 subscribers/ }, 'by the variable of serve');
  t.match(await run(['kick', '--all', ...at(https)], { env }), { code: 0 });
  const targets = [{ isUnix: false, host: '127.0.0.1', port: program.port }];
  const trust = trustOf({ ca }, true);
  const watch = await ServerWatch.ofAdmin({ admin: https, token: TOKEN, trust }, targets);
  t.not(watch, null, 'bench reads its memory');
  const plain = await run(['status', '--admin', https.replace('https', 'http')], { env });
  t.match(plain, { code: 1, stderr: /\/stats: this port speaks TLS; use https\n$/ });
  const stream = await run(['subscribe', `http://127.0.0.1:${program.port}`, 'news'], { env });
  t.match(stream, {
    code: 1,
    stderr: /400 Bad Request: this port speaks TLS; use https or wss\n$/,
  });
  await program.server.stop();
});

t.test('a certificate that is not accepted is one sentence', async (t) => {
  const folder = t.testdir({});
  const ca = authorityFile(folder);
  const trusted = AUTHORITY.certify();
  const site = await KeySite.start(t, [], trusted);
  const { host, origin } = new URL(site.url);
  const rows = [
    ['of an unknown issuer', trusted, [], /the issuer of the certificate is unknown/],
    [
      'that has expired',
      AUTHORITY.certify(undefined, Date.now() - 1000),
      ['--ca', ca],
      /the certificate has expired/,
    ],
    [
      'for another host',
      AUTHORITY.certify('a.example'),
      ['--ca', ca],
      /the certificate is for another host name/,
    ],
  ] as const;
  for (const [name, certificate, trust, reason] of rows) {
    site.present(certificate);
    for (const command of [
      ['status', '--admin', `https://${host}`],
      ['subscribe', origin, 'news'],
    ]) {
      const { code, stderr } = await run([...command, ...trust], { env });
      t.equal(code, 1, `${name}: ${command.join(' ')}`);
      t.match(stderr, reason);
      t.notMatch(stderr, /\n./, 'one sentence');
    }
  }
  t.equal(site.requests, 0, 'no request was sent');
  site.present(trusted);
  const system = { ...env, SSL_CERT_FILE: ca };
  await run(['status', '--admin', `https://${host}`], { env: system });
  t.equal(site.requests, 1, 'the authorities of the system are known');
});

t.test('options about certificates are checked', (t) => {
  const folder = t.testdir({
    text: 'no certificate',
    broken: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  });
  const rows: readonly (readonly [settings: Settings, isTls: boolean, message: string])[] = [
    [{ ca: 'x' }, false, '--ca: needs an address with https'],
    [{ insecure: true }, false, '--insecure: needs an address with https'],
    [{ ca: 'x', insecure: true }, true, '--ca: cannot be combined with --insecure'],
    [{ ca: join(folder, 'text') }, true, 'text has no valid certificate as PEM'],
    [{ ca: join(folder, 'broken') }, true, 'broken has no valid certificate as PEM'],
    [{ ca: join(folder, 'none') }, true, 'none cannot be read (ENOENT)'],
  ];
  for (const [settings, isTls, message] of rows) {
    t.throws(() => trustOf(settings, isTls), { code: 'ERR_OPTION_INVALID', message }, message);
  }
  t.strictSame(trustOf({}, false), {});
  t.strictSame(trustOf({ insecure: true }, true), { rejectUnauthorized: false });
  for (const [url, origin] of [
    ['wss://a.example/x', 'https://a.example'],
    ['WS://127.0.0.1:1', 'http://127.0.0.1:1'],
  ] as const) {
    t.equal(baseOf(url).origin, origin);
  }
  t.throws(() => baseOf('wsss://a.example'), { message: 'is not an address such as http' });
  t.end();
});
