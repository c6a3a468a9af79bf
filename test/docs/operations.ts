// The documents for operators against the program: metrics of a real server, log lines, alerts,
// links.
import t from 'tap';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

import { METRIC_TABLES } from '../../lib/api/metric-tables.js';
import { kernelStats, KERNEL_METRICS } from '../../lib/stats/kernel-metrics.js';
import { metricGroups } from '../../lib/stats/metric-list.js';
import { procReader } from '../../lib/system/kernel.js';
import { camelCase } from '../../lib/system/native.js';
import { Authority, filesOf } from '../../bench/certificates.js';
import { root, TestServer } from '../support/helpers.js';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const listed = (folder: string, pattern: RegExp): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name))
    .map((name) => `${folder}/${name}`)
    .sort();

const guide = read('docs/operations.md');

/** The cells of every row of the tables in a text. */
function rows(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Names, kinds and labels of every metric that can exist. */
const declared = metricGroups(METRIC_TABLES).flatMap(({ metrics }) => metrics);

t.test('a server has exactly the declared metrics, each with its labels and help', async (t) => {
  const files = filesOf(t.testdir({}), new Authority().certify());
  const server = await TestServer.start(t, { args: ['--protocol', 'comet', ...files] });
  const text = await (await server.get('/metrics')).text();
  await server.stop();
  const found = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, kind]) => ({
    name,
    kind,
  }));
  t.ok(found.length > 50, 'the server has metrics');
  t.same(
    found,
    declared.map(({ name, kind }) => ({ name, kind })),
  );
  for (const { name, help, labels } of declared) {
    t.ok(text.includes(`# HELP ${name} ${help}\n`), `${name} has its help`);
    t.ok(help.length > 20, 'which is a sentence');
    const sample = new RegExp(`^${name}(?:_bucket)?\\{([^}]*)\\}`, 'm').exec(text)?.[1] ?? '';
    t.same(
      [...sample.matchAll(/(\w+)=/g)].map(([, label]) => label),
      labels,
      `the labels of ${name}`,
    );
  }
});

t.test('documents, dashboard and alerts name only metrics that exist', (t) => {
  const texts = [
    ...listed('docs', /\.(md|json|yml)$/),
    ...listed('lib', /\.ts$/),
    ...readdirSync(root).filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md'),
  ];
  const names = new Set(declared.map(({ name }) => name));
  const isKnown = (name: string): boolean => names.has(name.replace(/_(bucket|count)$/, ''));
  for (const path of texts) {
    const named = [...new Set(read(path).match(/\bmegacomet_[a-z_]*[a-z]\b/g))];
    t.same(
      named.filter((name) => !isKnown(name)),
      [],
      `${path} names ${named.length} metrics, and all exist`,
    );
  }
  t.end();
});

t.test('a field of /stats has the name of its metric in camel case', (t) => {
  for (const [field, { name }] of Object.entries(METRIC_TABLES.messages)) {
    t.equal(field, camelCase(name));
  }
  for (const group of ['mailboxes', 'ingest', 'hook'] as const) {
    for (const [field, { name }] of Object.entries(METRIC_TABLES[group])) {
      t.equal(field, camelCase(name.replace(/^(mailbox|ingest|hook)_/, '')));
    }
  }
  t.end();
});

t.test('every value of the kernel has its help', (t) => {
  t.same(Object.keys(kernelStats(procReader)).sort(), Object.keys(KERNEL_METRICS).sort());
  t.end();
});

/** A message of the program: its fixed parts, with anything between them. */
interface Message {
  readonly parts: readonly string[];
  readonly level: string;
  readonly source: string;
}

/** The fixed parts of every text that an expression can produce; none for a forwarded text. */
function texts(node: ts.Expression): string[][] {
  if (ts.isStringLiteralLike(node)) return [[node.text]];
  if (ts.isTemplateExpression(node)) {
    return [[node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)]];
  }
  if (ts.isConditionalExpression(node)) return [...texts(node.whenTrue), ...texts(node.whenFalse)];
  if (ts.isParenthesizedExpression(node)) return texts(node.expression);
  if (!ts.isBinaryExpression(node)) return [];
  const [left = [], right = []] = [texts(node.left)[0], texts(node.right)[0]];
  return [[...left.slice(0, -1), `${left.at(-1) ?? ''}${right[0] ?? ''}`, ...right.slice(1)]];
}

/** A message needs a fixed part to be distinguishable. */
const WORDS = /[a-z]{3}/;

/** Messages that a call only forwards, by file and argument, with the guide's words for them. */
const PASSED_ON: Readonly<Record<string, string>> = {
  'lib/manager/supervisor.ts error.message': 'a process cannot be started: REASON',
  // Messages of a worker are read from native/.
  'lib/manager/worker-log.ts line.message': 'accept failed; listener paused',
  // Server logs the reason.
  'lib/manager/supervisor.ts reason': 'worker does not read its control stream; replaced',
  'lib/server/start-warnings.ts capacity.warning':
    'N connections are more than LIMIT allows: about N',
  'lib/server/start-warnings.ts `${id}: ${why}`': 'LIMIT: REASON',
};

/** Every message that a file passes to the logger, and the arguments that it only forwards. */
function messagesOf(path: string): { told: Message[]; passed: string[] } {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true);
  const told: Message[] = [];
  const passed: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const match = /(?:^|[.#])log\.(info|warn|error)$/i.exec(node.expression.getText(source));
      const dynamic = /(?:^|[.#])log\[level\]$/i.test(node.expression.getText(source));
      const last = node.arguments.at(-1);
      if ((match !== null || dynamic) && last !== undefined) {
        const level = match?.[1] ?? 'info';
        const found = texts(last).filter((parts) => WORDS.test(parts.join('')));
        for (const parts of found) told.push({ parts, level, source: path });
        if (found.length === 0) passed.push(`${path} ${last.getText(source)}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { told, passed };
}

/** The lines about peers, by file and level: fixed parts, and texts of the peer between them. */
const ABOUT_PEERS: Readonly<Record<string, Readonly<Record<string, readonly string[][]>>>> = {
  'native/connection/rejection_log.cc': {
    info: [
      ['a page of ', ' was rejected: --origin does not list its origin'],
      ['a peer spoke another protocol: ', ''],
      ['many requests are rejected; the last with ', ''],
    ],
  },
  'native/connection/client_limits.cc': {
    info: [['clients of ', ' are rejected: ', ' is ', '']],
    warn: [['', ' has ', ' of ', ' connections; if it is a proxy, set --trusted-proxies']],
  },
};

function messagesAboutPeers(path: string): Message[] {
  const source = read(path);
  return Object.entries(ABOUT_PEERS[path] ?? {}).flatMap(([level, lines]) =>
    lines.map((parts) => {
      if (!parts.every((part) => source.includes(part))) {
        throw new Error(`${path}: ${parts.join()}`);
      }
      return { parts, level, source: path };
    }),
  );
}

/** The messages of a worker: each is a literal in a call of fail() or log_rarely(). */
function nativeMessages(path: string): Message[] {
  const calls = read(path).matchAll(/\b(fail|log_rarely)\("([^"]+)"/g);
  const lines = [...calls].map(([, call, text = '']) => ({
    parts: [text],
    level: call === 'fail' ? 'error' : 'warn',
    source: path,
  }));
  return [...lines, ...messagesAboutPeers(path)];
}

function pattern({ parts }: Pick<Message, 'parts'>): RegExp {
  const escaped = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.+')}$`);
}

t.test('every log message has its line, and no unknown message is listed', (t) => {
  const begin = guide.indexOf('<!-- log lines -->');
  const lines = rows(guide.slice(begin, guide.indexOf('<!-- end of log lines -->'))).map(
    ([message = '', level = '', advice = '']) => ({
      message: message.replaceAll('`', '').replaceAll('\\|', '|'),
      level,
      advice,
    }),
  );
  t.ok(lines.length > 20, 'there is a table');
  const all = listed('lib', /\.ts$/).map(messagesOf);
  // The dialers of a bench have no log: a failure ends the run with its text. In a protocol fail()
  // rejects the request of a client.
  const natives = listed('native', /\.cc$/).filter(
    (path) => !path.includes('dial') && !path.startsWith('native/protocol/'),
  );
  const messages = [...all.flatMap(({ told }) => told), ...natives.flatMap(nativeMessages)];
  t.ok(messages.length > 20, 'messages were found');
  for (const message of messages) {
    const line = lines.find((one) => pattern(message).test(one.message));
    t.ok(line, `${message.source}: ${message.parts.join('…')}`);
    t.equal(line?.level, message.level, 'its level');
    t.ok((line?.advice ?? '').length >= 8, 'and what to do');
  }
  const passed = all.flatMap((one) => one.passed);
  t.same(
    [...new Set(passed)].sort(),
    Object.keys(PASSED_ON).sort(),
    'every forwarded message is known',
  );
  const others = Object.values(PASSED_ON);
  for (const message of others) {
    t.ok(
      lines.some((one) => one.message === message),
      message,
    );
  }
  const stale = lines.filter(
    ({ message }) =>
      !others.includes(message) && !messages.some((one) => pattern(one).test(message)),
  );
  t.same(stale, [], 'each line is a message of the program');
  t.equal(new Set(lines.map(({ message }) => message)).size, lines.length, 'none is listed twice');
  t.end();
});

t.test('every alert is named in the section of the guide that it links to', (t) => {
  const rules = read('docs/alerts.yml').matchAll(
    /- alert: (\w+)$[^]*?runbook: docs\/operations\.md#(\S+)$/gm,
  );
  const alerts = [...rules].map(([, name = '', anchor = '']) => ({ name, anchor }));
  const parts = new Map(guide.split(/^#+ /m).map((part) => [anchorOf(part), part]));
  for (const { name, anchor } of alerts) {
    t.ok(parts.get(anchor)?.includes(`\`${name}\``), `${name} is named at #${anchor}`);
  }
  const told = [...guide.matchAll(/`(Megacomet[A-Z]\w+)`/g)].map(([, name]) => name);
  t.same(new Set(told), new Set(alerts.map(({ name }) => name)), 'and no other is named');
  t.end();
});

/** The anchor that GitHub makes of the heading of a section. */
function anchorOf(part: string): string {
  const [heading = ''] = part.split('\n');
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

t.test('every link of the guide has a target', (t) => {
  const anchors = guide.split(/^#+ /m).map(anchorOf);
  for (const [, file = '', anchor = ''] of guide.matchAll(/\]\(([^)#]*)(?:#([^)]+))?\)/g)) {
    if (file === '') t.ok(anchors.includes(anchor), `#${anchor}`);
    else t.ok(read(join('docs', file)).length > 0, file);
  }
  t.end();
});
