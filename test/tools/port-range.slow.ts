// The range of ephemeral ports of the machine during and after runs of `megacomet-ts bench`.
import t from 'tap';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { BenchResult } from '../../lib/bench/bench-result.js';
import { bin, command } from '../support/helpers.js';
import { without } from '../support/requirements.js';

/** In its own network namespace: settings that may be changed, a server and a bench. */
const IN_NAMESPACE = `
ip link set lo up
cd /proc/sys/net/ipv4
echo "40000 40099" > ip_local_port_range
echo 40001 > ip_local_reserved_ports
show() { echo "$1" $(cat ip_local_port_range ip_local_reserved_ports); }
show before
"$NODE" "$BIN" serve --listen 127.0.0.1:8000 --admin-port 0 --workers 1 --drain 0 > "$AT/log" &
server=$!
for try in $(seq 200); do grep -q 'listening on' "$AT/log" && break; sleep 0.05; done
"$NODE" "$BIN" bench --target 127.0.0.1:8000 --source 127.0.0.1 "$@" > "$AT/out" 2> "$AT/err" &
bench=$!
if [ -n "$INTERRUPT" ]; then
  for try in $(seq 200); do grep -q '^hold' "$AT/err" && break; sleep 0.05; done
  show during
  kill -$INTERRUPT $bench
fi
wait $bench
echo "bench $?"
show after
kill $server
wait $server
echo "server $?"
`;

const noNamespace = without('namespaces', 'ip');

interface Seen {
  readonly lines: readonly string[];
  readonly out: string;
  readonly err: string;
}

/** Runs a bench where one source address has 98 usable ports. */
function inNamespace(folder: string, interrupt: string, ...args: string[]): Seen {
  const script = join(folder, 'run.sh');
  writeFileSync(script, IN_NAMESPACE);
  const variables = [`NODE=${process.execPath}`, `BIN=${bin}`, `AT=${folder}`];
  variables.push(`INTERRUPT=${interrupt}`);
  const shell = ['timeout', '60', 'sh', script, ...args];
  const lines = command('unshare', '-n', 'env', ...variables, ...shell);
  return {
    lines: lines.trim().split('\n'),
    out: readFileSync(join(folder, 'out'), 'utf8'),
    err: readFileSync(join(folder, 'err'), 'utf8'),
  };
}

const SETTINGS = '40000 40099 40001';

t.test('the port range is widened for a run and restored', { skip: noNamespace }, (t) => {
  const args = ['--connections', '2000', '--verify', '--json', '-'];
  const { lines, out, err } = inNamespace(t.testdir(), '', ...args);
  t.same(lines, [`before ${SETTINGS}`, 'bench 0', `after ${SETTINGS}`, 'server 0'], err);
  const result = JSON.parse(out) as BenchResult;
  t.equal(result.opened, 2000, 'all connections were opened from one address');
  t.match(result.notes, [/^raised net\.ipv4\.ip_local_port_range from 40000 40099 to 1024 65535/]);
  t.end();
});

t.test('a signal ends a run and restores the port range', { skip: noNamespace }, (t) => {
  const args = ['--connections', '2000', '--hold', '40'];
  for (const [signal, code] of Object.entries({ INT: 130, HUP: 129, QUIT: 131, TERM: 143 })) {
    const folder = t.testdir();
    const { lines, out, err } = inNamespace(folder, signal, ...args);
    const during = 'during 1024 65535 8000,40001';
    const wanted = [`before ${SETTINGS}`, during, `bench ${code}`, `after ${SETTINGS}`, 'server 0'];
    t.same(lines, wanted, `${signal}: the settings, and the exit codes of bench and server`);
    t.ok(out.startsWith(`bench failed: the run ended early (SIG${signal} ended the run)`), err);
  }
  t.end();
});

/** Two runs, of which the first ends while the second one still runs; then a run that is killed. */
const OVERLAPPING = `
ip link set lo up
cd /proc/sys/net/ipv4
echo "40000 40099" > ip_local_port_range
echo 40001 > ip_local_reserved_ports
show() { echo "$1" $(cat ip_local_port_range ip_local_reserved_ports); }
bench() { exec "$NODE" "$BIN" bench --target 127.0.0.1:8000 --source 127.0.0.1 --connections 300 "$@"; }
holds() { for try in $(seq 400); do grep -q '^hold' "$AT/$1" && break; sleep 0.05; done; }
"$NODE" "$BIN" serve --listen 127.0.0.1:8000 --admin-port 0 --workers 1 --drain 0 > "$AT/log" &
server=$!
for try in $(seq 200); do grep -q 'listening on' "$AT/log" && break; sleep 0.05; done
( bench --hold 60 > /dev/null 2> "$AT/one" ) & one=$!
holds one
( bench --hold 60 > /dev/null 2> "$AT/two" ) & two=$!
holds two
kill -INT $one; wait $one
show one-ended
kill -INT $two; wait $two
show both-ended
( bench --hold 60 > /dev/null 2> "$AT/three" ) & three=$!
holds three
kill -KILL $three; wait $three
show killed
( bench --hold 0 > /dev/null 2> "$AT/four" ) & wait $!
show healed
kill $server; wait $server
`;

t.test('runs that overlap do not narrow each other', { skip: noNamespace }, (t) => {
  const folder = t.testdir();
  const script = join(folder, 'run.sh');
  writeFileSync(script, OVERLAPPING);
  const variables = [`NODE=${process.execPath}`, `BIN=${bin}`, `AT=${folder}`];
  const shell = ['timeout', '90', 'sh', script];
  const lines = command('unshare', '-n', 'env', ...variables, ...shell);
  t.same(
    lines.trim().split('\n'),
    [
      'one-ended 1024 65535 8000,40001',
      `both-ended ${SETTINGS}`,
      'killed 1024 65535 8000,40001',
      `healed ${SETTINGS}`,
    ],
    'the last run restores, also the settings that a killed run has left',
  );
  t.end();
});

t.test('a run that no port range allows names the limit', { skip: noNamespace }, (t) => {
  const { lines, err } = inNamespace(t.testdir(), '', '--connections', '70000');
  t.same(
    lines,
    [`before ${SETTINGS}`, 'bench 1', `after ${SETTINGS}`, 'server 0'],
    'the settings are restored',
  );
  t.match(
    err,
    /^megacomet-ts: 70000 connections [^\n]+ip_local_port_range[^\n]+\n$/,
    'one sentence',
  );
  t.end();
});
