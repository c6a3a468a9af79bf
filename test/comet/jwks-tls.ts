// Keys of --token-jwks-url over TLS: an answer counts only if its certificate is trusted.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { Authority } from '../../bench/certificates.js';
import { Program } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { IssuerKey, KeySite } from '../support/key-site.js';

const FAILED = 'keys of the issuer not fetched';

/** The line of the log about each failed fetch. */
const failuresOf = ({ server }: Program): readonly object[] =>
  server.log.filter(({ msg }) => msg === FAILED);

async function statusOf(program: Program, token: string): Promise<number> {
  const url = `http://127.0.0.1:${program.port}/poll?timeout=0&channel=a&token=${token}`;
  const response = await fetch(url);
  await response.arrayBuffer();
  return response.status;
}

async function metricOf(program: Program, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${program.server.adminPort}/metrics`);
  const text = await response.text();
  return Number(new RegExp(`^megacomet_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

t.test('keys count only from a server whose certificate is trusted', async (t) => {
  const authority = new Authority();
  const trusted = authority.certify();
  const key = new IssuerKey('a');
  const site = await KeySite.start(t, [key.jwk()], trusted);
  const file = join(t.testdir({}), 'authority.pem');
  writeFileSync(file, authority.cert);
  const start = (env: Record<string, string>): Promise<Program> =>
    Program.start(t, {
      args: ['--workers', '1', '--token-jwks-url', site.url],
      env,
      expectLog: [/^--token-audience is not set/, new RegExp(FAILED)],
    });

  const stranger = await start({});
  t.match(failuresOf(stranger), [
    { cause: 'unreachable', err: /issuer of the certificate is unknown/, hasKeys: false },
  ]);
  t.equal(await statusOf(stranger, key.token()), 503);
  t.ok((await metricOf(stranger, 'jwks_fetch_failures_unreachable_total')) >= 1);
  t.equal(await metricOf(stranger, 'jwks_keys'), 0);
  t.equal(site.requests, 0, 'no request was sent to it');
  await stranger.server.stop();

  const program = await start({ NODE_EXTRA_CA_CERTS: file });
  t.strictSame(failuresOf(program), []);
  t.equal(await statusOf(program, key.token()), 204);
  t.equal(site.requests, 1);
  const rows = [
    ['expired', authority.certify(undefined, Date.now() - 1000), /certificate has expired/],
    ['of another host', authority.certify('issuer.example'), /certificate is for another host/],
    ['of another authority', new Authority().certify(), /certificate signature failure/],
  ] as const;
  for (const [at, [name, certificate, reason]] of rows.entries()) {
    site.present(certificate);
    program.server.child.kill('SIGHUP');
    await until(`a failure: ${name}`, () => failuresOf(program).length > at);
    const wanted = { cause: 'unreachable', err: reason, ageSeconds: Number };
    t.match(failuresOf(program)[at], wanted, name);
    t.equal(await statusOf(program, key.token()), 204, `${name}: the known keys serve`);
    site.present(trusted);
    const before = site.requests;
    program.server.child.kill('SIGHUP');
    await until('an answer', () => site.requests > before);
    await until('the log to say it', () => {
      const { stdout } = program.server;
      return stdout.lastIndexOf('keys of the issuer fetched') > stdout.lastIndexOf(FAILED);
    });
  }
  await program.server.stop();
});
