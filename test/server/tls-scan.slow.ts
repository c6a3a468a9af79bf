// Scanners of TLS servers: testssl.sh and sslscan, at a comet server with the options' defaults.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { Program } from '../support/comet-world.js';
import { without } from '../support/requirements.js';

const AUTHORITY = new Authority();
const SCAN_MS = 900_000;
t.setTimeout(2 * SCAN_MS);

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

/**
 * Findings about the certificate of a test, which no public authority has signed and which is for one
 * day, and about headers of the page at "/", which this server does not have. Also about tickets: its
 * client ends as soon as its input ends, on a busy machine before the ticket arrives, and testssl.sh
 * reports a connect problem (test/server/tls-tickets.ts tests tickets).
 */
const OF_THE_TEST =
  /^(cert_|chain_of_trust|cert|DNS_CAArecord|OCSP_stapling|HSTS|HTTP_|security_headers|overall_grade|grade_cap|scanProblem|sessionresumption_ticket)/;

async function start(t: Test): Promise<Program> {
  return Program.start(t, { args: filesOf(t.testdir({}), AUTHORITY.certify()) });
}

t.test('testssl.sh finds nothing above low', { skip: without('testssl') }, async (t) => {
  const program = await start(t);
  const file = join(program.server.folder, 'findings.json');
  const options = ['--quiet', '--warnings', 'off', '--color', '0', '--nodns', 'none'];
  const target = `127.0.0.1:${program.port}`;
  const { stdout } = spawnSync('testssl', [...options, '--jsonfile', file, target], {
    encoding: 'utf8',
    timeout: SCAN_MS,
  });
  const findings = JSON.parse(readFileSync(file, 'utf8')) as readonly Finding[];
  t.ok(findings.length > 50, `${findings.length} findings of all kinds`);
  const bad = findings.filter(
    ({ id, severity }) => !['OK', 'INFO', 'LOW'].includes(severity) && !OF_THE_TEST.test(id),
  );
  t.strictSame(bad, []);
  if (!t.passing()) t.comment(stdout);
  await program.server.stop();
});

t.test(
  'sslscan finds TLS 1.2 and 1.3 alone, with strong ciphers',
  { skip: without('sslscan') },
  async (t) => {
    const program = await start(t);
    const { stdout } = spawnSync('sslscan', ['--no-colour', `127.0.0.1:${program.port}`], {
      encoding: 'utf8',
      timeout: SCAN_MS,
    });
    const lines = stdout.split('\n').map((line) => line.replaceAll(/ +/g, ' ').trim());
    for (const version of ['SSLv2', 'SSLv3', 'TLSv1.0', 'TLSv1.1']) {
      t.ok(lines.includes(`${version} disabled`), version);
    }
    for (const version of ['TLSv1.2', 'TLSv1.3'])
      t.ok(lines.includes(`${version} enabled`), version);
    for (const fact of [
      'Session renegotiation not supported',
      'TLSv1.3 not vulnerable to heartbleed',
      'TLSv1.2 not vulnerable to heartbleed',
    ]) {
      t.ok(lines.includes(fact), fact);
    }
    const ciphers = lines.filter((line) => /^(Preferred|Accepted) /.test(line));
    const weak = ciphers.filter((line) => /\b(RC4|DES|NULL|EXP|anon|MD5|40|56) /i.test(line));
    t.ok(ciphers.length > 3, `${ciphers.length} ciphers`);
    t.strictSame(weak, []);
    if (!t.passing()) t.comment(stdout);
    await program.server.stop();
  },
);
