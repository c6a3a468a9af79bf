// The dashboard and the alerts of docs/ against a real Prometheus that scrapes a real server: every
// query is accepted and finds data.
import t, { type Test as TapTest } from 'tap';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Program, REQUESTS } from '../support/comet-world.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { Clients, root, TestServer, until, type Test } from '../support/helpers.js';
import { without } from '../support/requirements.js';

const DASHBOARD = join(root, 'docs/grafana.json');
const ALERTS = join(root, 'docs/alerts.yml');

const skip = without('prometheus', 'promtool');

interface GridPosition {
  readonly x: number;
  readonly y: number;
  readonly w: number;
  readonly h: number;
}

interface Source {
  readonly type: string;
  readonly uid: string;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: GridPosition;
  readonly datasource?: Source;
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly datasource: Source;
  }[];
}

interface Dashboard {
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly definition?: string;
      readonly allValue?: string;
    }[];
  };
}

const dashboard = JSON.parse(readFileSync(DASHBOARD, 'utf8')) as Dashboard;
const charts = dashboard.panels.filter(({ type }) => type !== 'row');

/** Every query of the dashboard as Grafana would send it, with its panel. */
const queries = charts.flatMap(({ title, targets }) =>
  (targets ?? []).map(({ refId, expr }) => ({
    name: `${title} ${refId}`,
    expr: expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m'),
  })),
);

function overlap(a: GridPosition, b: GridPosition): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

t.test('the dashboard is valid for Grafana', (t) => {
  const { panels } = dashboard;
  t.ok(dashboard.schemaVersion >= 39, 'the schema is of Grafana 11 or newer');
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'panel ids are unique');
  t.equal(new Set(panels.map(({ title }) => title)).size, panels.length, 'panel titles are unique');
  const wide = panels.filter(({ gridPos }) => gridPos.x + gridPos.w > 24);
  t.same(wide, [], 'none is wider than the grid');
  const crossing = panels.filter((one, index) =>
    panels.slice(index + 1).some((other) => overlap(one.gridPos, other.gridPos)),
  );
  t.same(crossing, [], 'no panel overlaps another');
  const source = { type: 'prometheus', uid: '${datasource}' };
  for (const { title, description, datasource, targets = [] } of charts) {
    t.ok((description ?? '').endsWith('.'), `${title} is explained`);
    const sources = [datasource, ...targets.map((target) => target.datasource)];
    t.ok(targets.length > 0, 'the panel has a query');
    t.same(new Set(sources.map((used) => JSON.stringify(used))), new Set([JSON.stringify(source)]));
  }
  const names = dashboard.templating.list.map(({ name, type }) => [name, type]);
  t.same(names, [
    ['datasource', 'datasource'],
    ['instance', 'query'],
  ]);
  for (const { name, expr } of queries) t.notMatch(expr, /\$/, `${name} has no other variable`);
  t.end();
});

interface Rule {
  readonly name: string;
  readonly query: string;
  readonly health: string;
  readonly lastError?: string;
  readonly labels: { readonly severity?: string };
  readonly annotations: { readonly runbook?: string };
}

/** A Prometheus that scrapes one server every second and evaluates the alerts. */
class Prometheus {
  readonly #child: ChildProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), 'megacomet-prometheus-'));
  #output = '';
  #port = 0;

  private constructor(test: Test, adminPort: number) {
    const file = join(this.#folder, 'prometheus.json');
    const targets = [`127.0.0.1:${adminPort}`];
    const config = {
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [ALERTS],
      scrape_configs: [{ job_name: 'megacomet', static_configs: [{ targets }] }],
    };
    writeFileSync(file, JSON.stringify(config));
    const args = [
      ...['--pdeathsig', 'KILL', 'prometheus', `--config.file=${file}`],
      ...[`--storage.tsdb.path=${join(this.#folder, 'data')}`, '--web.listen-address=127.0.0.1:0'],
    ];
    this.#child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    test.teardown(async () => {
      this.#child.kill('SIGKILL');
      await ended;
      rmSync(this.#folder, { recursive: true, force: true });
      if (!test.passing()) test.comment(`log of Prometheus:\n${this.#output}`);
    });
  }

  /** Starts Prometheus and waits until it is ready. */
  static async start(test: Test, adminPort: number): Promise<Prometheus> {
    const prometheus = new Prometheus(test, adminPort);
    prometheus.#port = await until('Prometheus to listen', () => {
      const match = /"Listening on".*address=127\.0\.0\.1:(\d+)/.exec(prometheus.#output);
      return Number(match?.[1] ?? 0);
    });
    await until('Prometheus to be ready', async () => {
      return (await fetch(`http://127.0.0.1:${prometheus.#port}/-/ready`)).ok;
    });
    return prometheus;
  }

  async #get(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/v1/${path}`);
    const answer = (await response.json()) as { status: string; error?: string; data: unknown };
    if (answer.status !== 'success') throw new Error(answer.error ?? 'no reason given');
    return answer.data;
  }

  /** The current values of a query. */
  async values(expr: string): Promise<number[]> {
    const data = await this.#get(`query?query=${encodeURIComponent(expr)}`);
    const { result } = data as { result: { value: [number, string] }[] };
    return result.map(({ value }) => Number(value[1]));
  }

  async labelValues(metric: string, label: string): Promise<string[]> {
    const path = `label/${label}/values?match[]=${encodeURIComponent(metric)}`;
    return (await this.#get(path)) as string[];
  }

  async rules(): Promise<Rule[]> {
    const { groups } = (await this.#get('rules')) as { groups: { rules: Rule[] }[] };
    return groups.flatMap(({ rules }) => rules);
  }
}

/** Limits that a machine may lack, as its own metrics show. */
const EXCUSED = [
  { limit: 'net.ipv4.tcp_mem', why: 'the network namespace of a container does not show it' },
];

function excuse(expr: string, text: string): string | undefined {
  const label = (limit: string): string => `limit="${limit}"`;
  return EXCUSED.find(({ limit }) => expr.includes(label(limit)) && !text.includes(label(limit)))
    ?.why;
}

/** The anchors that GitHub makes of the headings of a document. */
function anchors(document: string): string[] {
  return [...document.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

/** A server after some traffic, and a Prometheus that has scraped it. */
/** The metrics without the one in days, because promtool wants seconds of all. */
const inSeconds = (text: string): string =>
  text.replaceAll(/^.*\bmegacomet_tls_certificate_days_left\b.*\n/gm, '');

async function scene(t: TapTest): Promise<{ server: TestServer; prometheus: Prometheus }> {
  const files = filesOf(t.testdir({}), new Authority().certify());
  const addresses = ['--listen', '127.0.0.1:0', '--listen', 'tls:127.0.0.1:0'];
  const program = await Program.start(t, {
    args: ['--history-count', '10', ...addresses, ...files],
  });
  const { server } = program;
  const prometheus = await Prometheus.start(t, server.adminPort);
  const clients = await Clients.open(t, server.port, 60);
  for (const socket of clients.sockets) socket.write(REQUESTS.sse);
  await program.untilTotal('subscriptions', 60);
  await program.publish('a', 'to all of them');
  for (const socket of clients.sockets.slice(0, 10)) socket.destroy();
  await until('three scrapes with the last values', async () => {
    const [scrapes = 0] = await prometheus.values('count_over_time(up{job="megacomet"}[1m])');
    const [open = 0] = await prometheus.values('sum(megacomet_connections)');
    return scrapes >= 3 && open === 50;
  });
  return { server, prometheus };
}

t.test('every query of the dashboard and of the alerts finds data', { skip }, async (t) => {
  const { server, prometheus } = await scene(t);
  const text = await (await server.get('/metrics')).text();
  t.equal(
    execFileSync('promtool', ['check', 'metrics'], { input: inSeconds(text), encoding: 'utf8' }),
    '',
    'promtool accepts the metrics',
  );
  const ask = async (name: string, expr: string): Promise<void> => {
    const found = await prometheus.values(expr).catch((error: unknown) => String(error));
    if (typeof found === 'string') t.fail(`${name}: ${expr}: ${found}`);
    else if (found.some((value) => !Number.isNaN(value))) t.pass(name);
    else t.ok(excuse(expr, text), `${name}: ${expr} finds nothing`);
  };
  for (const { name, expr } of queries) await ask(name, expr);
  for (const { definition = '' } of dashboard.templating.list) {
    const match = /^label_values\((\w+), (\w+)\)$/.exec(definition);
    if (match === null) continue;
    const [, metric = '', label = ''] = match;
    t.same(await prometheus.labelValues(metric, label), [`127.0.0.1:${server.adminPort}`]);
  }
  const rules = await until('every rule to be evaluated', async () => {
    const all = await prometheus.rules();
    return all.some(({ health }) => health === 'unknown') ? undefined : all;
  });
  const document = anchors(readFileSync(join(root, 'docs/operations.md'), 'utf8'));
  for (const { name, query, health, lastError, labels, annotations } of rules) {
    t.equal(health, 'ok', `${name} can be evaluated: ${lastError ?? ''}`);
    t.match(labels.severity, /^(critical|info|warning)$/, 'it has a severity');
    const [file, anchor = ''] = (annotations.runbook ?? '').split('#');
    t.equal(file, 'docs/operations.md', 'it links to the guide');
    t.ok(document.includes(anchor), `the guide has a section ${anchor}`);
    // Most alerts match nothing on a healthy server, but their metrics must have data.
    for (const [selector] of query.matchAll(/\b(?:up|megacomet_\w+)\b(?:\{[^}]*\})?/g)) {
      await ask(`${name}: ${selector}`, selector);
    }
  }
  await server.stop();
});

type Shows = (title: string, isWanted: (values: number[]) => boolean) => Promise<void>;

/** Returns a function that waits until the queries of a panel have the expected values. */
function watcher(t: Test, prometheus: Prometheus): Shows {
  return async (title, isWanted) => {
    const asked = queries.filter(({ name }) => name.startsWith(`${title} `));
    await until(title, async () => {
      const found = await Promise.all(asked.map(({ expr }) => prometheus.values(expr)));
      return isWanted(found.flat());
    });
    t.equal(asked.length > 0, true, title);
  };
}

/** Asserts that every metric with the prefix is on a panel. */
async function assertOnPanels(t: Test, server: TestServer, prefix: string): Promise<void> {
  const text = await (await server.get('/metrics')).text();
  const metrics = [...text.matchAll(new RegExp(`^# TYPE (${prefix}\\S+)`, 'gm'))];
  t.equal(metrics.length > 1, true, `a server has metrics ${prefix}*`);
  for (const [, metric = ''] of metrics) {
    const isShown = queries.some(({ expr }) => expr.includes(`${metric}{`));
    t.equal(isShown, true, `${metric} is on a panel`);
  }
}

t.test(
  'the panels of the input budget show incomplete requests and rejected clients',
  { skip },
  async (t) => {
    const budget = 1_048_576;
    const args = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];
    args.push('--worker-input-bytes', String(budget), '--handshake-timeout', '60');
    const server = await TestServer.start(t, { args });
    const shows = watcher(t, await Prometheus.start(t, server.adminPort));
    await shows('Incomplete requests and messages', (values) => String(values) === '0,0');
    await shows('Rejected at the input budget', ([rate]) => rate === 0);
    const half = `GET /events?channel=a HTTP/1.1\r\nHost: a\r\nPadding: ${'x'.repeat(12_000)}\r\n`;
    const clients = await Clients.open(t, server.port, 120);
    for (const socket of clients.sockets) socket.resume().write(half);
    await shows('Incomplete requests and messages', ([all = 0, one]) => {
      return all > budget / 2 && all <= budget && one === all;
    });
    await shows('Rejected at the input budget', ([rate = 0]) => rate > 0);
    clients.destroy();
    await shows('Incomplete requests and messages', (values) => String(values) === '0,0');
    await assertOnPanels(t, server, 'megacomet_input_budget_');
    await server.stop();
  },
);

t.test('the panels of mailboxes show waiting, leased and expired messages', { skip }, async (t) => {
  const comet = ['--protocol', 'comet', '--host', '127.0.0.1', '--workers', '1'];
  const args = [...comet, '--ingest', '127.0.0.1:0', '--mailbox-time', '8'];
  const server = await TestServer.start(t, { args });
  const prometheus = await Prometheus.start(t, server.adminPort);
  const shows = watcher(t, prometheus);
  await shows('Messages in mailboxes', (values) => String(values) === '0,0,0');
  await shows('Messages through mailboxes', (values) => String(values) === '0,0,0');
  await shows('Expired and dropped mailbox messages', (values) => String(values) === '0,0');
  const line = server.log.find(({ msg }) => msg.startsWith('listening on'));
  const application = connect(Number(line?.['ingestPort']), '127.0.0.1');
  t.teardown(() => application.destroy());
  application.write(
    '\x01\x00' + ['one', 'two', 'three'].map((text) => `\x02Jim\0${text}\0`).join(''),
  );
  const client = await fetch(`http://127.0.0.1:${server.port}/Jim.js`);
  t.equal(await client.text(), 'one');
  await shows('Messages in mailboxes', (values) => String(values) === '2,0,0');
  await shows('Memory of mailboxes', ([bytes = 0]) => bytes > 0);
  await shows('Messages through mailboxes', ([delivered = 0, taken = 0, returned]) => {
    return delivered > taken && taken > 0 && returned === 0;
  });
  await shows('Expired and dropped mailbox messages', ([expired = 0, dropped]) => {
    return expired > 0 && dropped === 0;
  });
  await shows('Messages in mailboxes', (values) => String(values) === '0,0,0');
  await assertOnPanels(t, server, 'megacomet_mailbox_');
  await server.stop();
});
