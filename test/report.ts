// The reports of a bench run: what the terminal and the page say, that no text of a result gets out
// of its place, and that a real browser draws the plots.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import fc from 'fast-check';
import type { Page } from 'playwright-core';
import t from 'tap';

import {
  type BenchResult,
  type Broadcast,
  type Fanout,
  formatBytes,
  formatMicroseconds,
  formatSeconds,
  headline,
  type Latency,
  verdict,
} from '../lib/bench-result.js';
import { formatHtml } from '../lib/report-html.js';
import { formatText } from '../lib/report.js';
import { launchBrowser, noBrowser } from './browser.js';

const HOSTILE = `</script><script>alert(1)</script><img src=x onerror='alert(2)'>"'&\u2028`;

/** A bell curve on the log scale, in eight buckets to an octave. */
function latency(count: number, medianUs: number): Latency {
  const buckets = [];
  for (let octave = 0; octave < 20; octave += 1) {
    for (let part = 1; part <= 8; part += 1) {
      const upToUs = 2 ** octave * (1 + part / 8);
      const distance = Math.log(upToUs / medianUs) / 0.5;
      const share = (Math.exp(-(distance ** 2) / 2) * 2 ** octave) / upToUs;
      buckets.push({ upToUs, count: Math.round(count * share * 0.1) });
    }
  }
  return {
    count,
    minUs: medianUs * 0.1,
    p50Us: medianUs,
    p90Us: medianUs * 1.9,
    p99Us: medianUs * 3.2,
    p999Us: medianUs * 4.7,
    maxUs: medianUs * 9,
    buckets,
  };
}

/** A message that spread evenly, and began to arrive at the same moment as any other. */
function broadcast(reached: number, seconds: number): Broadcast {
  const steps = Array.from({ length: 41 }, (_, index) => index / 40);
  const curve = steps.map((share) => ({
    seconds: share * seconds,
    reached: Math.round(share * (reached - 1)) + 1,
  }));
  return { reached, firstNs: 7e12, lastNs: 7e12 + seconds * 1e9, seconds, curve };
}

const FANOUT: Fanout = {
  transport: 'websocket',
  received: 1_999_721,
  gaps: 6,
  broadcasts: [broadcast(999_863, 0.81), broadcast(999_858, 1.27)],
};

/** A run with every phase, in which something went wrong in each. No two numbers are the same. */
function fullResult(): BenchResult &
  Required<Pick<BenchResult, 'verify' | 'active' | 'server' | 'fanout'>> {
  const steps = Array.from({ length: 61 }, (_, index) => index);
  return {
    version: '0.1.7',
    startedAt: '2026-01-14T09:31:07.412Z',
    kernel: 'Linux 6.1.0-28-amd64',
    node: 'v20.20.2',
    cpus: 6,
    memoryBytes: 7.75 * 2 ** 30,
    command: 'megacomet-ts bench 127.0.0.1:8080 --connections 1000000',
    target: '127.0.0.1:8080',
    requested: 1_000_000,
    opened: 999_870,
    failed: 130,
    processes: 4,
    sourceAddresses: 18,
    failures: { EADDRNOTAVAIL: 29, ECONNRESET: 101 },
    notes: ['raised net.ipv4.ip_local_port_range from "32768 60999" to "1024 65535"'],
    ramp: {
      seconds: 15.3,
      connectionsPerSecond: 65_351,
      curve: steps.map((step) => ({
        seconds: step * 0.255,
        opened: Math.round((999_870 * step) / 60),
        failed: Math.round((130 * step) / 60),
      })),
    },
    ...{ hold: { seconds: 32.1, lost: 3 }, fanout: { ...FANOUT } },
    verify: {
      asked: 999_867,
      answered: 999_860,
      wrong: 2,
      unanswered: 5,
      seconds: 9.4,
      latency: latency(999_862, 4210),
    },
    active: {
      connections: 1024,
      messageBytes: 64,
      seconds: 10.2,
      messages: 1_843_220,
      messagesPerSecond: 180_708,
      latency: latency(1_843_219, 312),
    },
    server: {
      version: '0.1.6',
      workers: 8,
      userBytesPerConnection: 72.4,
      kernelBytesPerConnection: 2312.3,
      cpuMicrosecondsPerAccept: 9.13,
      memoryCurve: steps.map((step) => ({
        seconds: step * 0.255,
        connections: Math.round((999_870 * step) / 60),
        userBytes: 1_200_000 * step,
        kernelBytes: 38_000_000 * step,
      })),
    },
  };
}

/** A run that only opened connections, all of them. */
function bareResult(): BenchResult {
  const done = { seconds: 15.3, opened: 1_000_000, failed: 0 };
  const ramp = { seconds: 15.3, connectionsPerSecond: 65_359, curve: [done] };
  const filled = { ...fullResult(), opened: 1_000_000, failed: 0, failures: {}, notes: [], ramp };
  const result: BenchResult = filled;
  delete result.hold;
  delete result.fanout;
  delete result.verify;
  delete result.active;
  delete result.server;
  return result;
}

/** The same run, with `text` in every place that holds a text. */
function withTexts(text: string): BenchResult {
  const result = fullResult();
  return {
    ...result,
    version: text,
    startedAt: text,
    kernel: text,
    node: text,
    command: text,
    target: text,
    failures: { [text]: 130 },
    notes: [text],
    server: { ...result.server, version: text },
    fanout: { ...result.fanout, transport: text },
  };
}

/** The text that a reader of the page sees, still with its entities. */
function shownBy(html: string): string {
  return html
    .replace(/<(script|style)[^]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&nbsp;|\s+/g, ' ');
}

function embedded(html: string, id: string): unknown {
  const [, json] =
    new RegExp(`<script type="application/json" id="${id}">(.*?)</script>`).exec(html) ?? [];
  return JSON.parse(json ?? 'null');
}

interface EmbeddedPlots {
  ramp: (number | null)[][];
  fanout: { columns: (number | null)[][]; names: string[] };
  latency: { columns: (number | null)[][] };
}

t.test('the text report shows every number with what it counts', (t) => {
  const text = formatText(fullResult());
  for (const line of [
    'megacomet-ts 0.1.7 bench: 999,870 of 1,000,000 connections in 15.3 s',
    '  requested            1,000,000',
    '  opened                 999,870  in 15.3 s',
    '  ramp                    65,351  connections/s',
    '  failed                     130',
    '    ECONNRESET               101',
    '    EADDRNOTAVAIL             29',
    '  lost                         3  while held for 32.1 s',
    '  received             1,999,721  messages',
    '  gaps                         6  subscribers told of lost messages',
    '  broadcasts                   2  that reached more than one',
    '  reached                999,858  of 999,870, by each of them at least',
    '  slowest                   1.27  s from the first arrival to the last',
    '  asked                  999,867',
    '  answered               999,860  in 9.4 s',
    '  wrong                        2',
    '  unanswered                   5',
    '  connections              1,024  sending without pause',
    '  message                     64  bytes',
    '  messages             1,843,220  in 10.2 s',
    '  rate                   180,708  messages/s',
    '  user memory                 72  bytes',
    '  kernel memory            2,312  bytes',
    '  both                     2,384  bytes',
    '  CPU per accept            9.13  µs',
    '                          verify        active',
    '  measured               999,862     1,843,219',
    '  min                     421 µs       31.2 µs',
    '  p50                    4.21 ms        312 µs',
    '  p90                    8.00 ms        593 µs',
    '  p99                    13.5 ms        998 µs',
    '  p99.9                  19.8 ms       1.47 ms',
    '  max                    37.9 ms       2.81 ms',
    '  target          127.0.0.1:8080',
    '  transport       websocket',
    '  server          megacomet-ts 0.1.6, 8 workers',
    '  clients         4 processes, 18 source addresses',
    '  machine         6 CPUs, 7.75 GiB of memory',
    '  kernel          Linux 6.1.0-28-amd64',
    '  Node.js         v20.20.2',
    '  started         2026-01-14 09:31:07 UTC',
    '  command         megacomet-ts bench 127.0.0.1:8080 --connections 1000000',
    '  note            raised net.ipv4.ip_local_port_range from "32768 60999" to',
    '                  "1024 65535"',
  ]) {
    t.ok(text.split('\n').includes(line), line);
  }
  t.ok(text.endsWith('\n') && !text.endsWith('\n\n'), 'one line feed at the end');
  t.end();
});

t.test('a phase that did not run has no place in a report', (t) => {
  const text = formatText(bareResult());
  t.notMatch(
    text,
    /Answers|Messages|transport|Traffic|Latency|Server|lost|not measured|NaN|undefined/,
  );
  const html = formatHtml(bareResult());
  t.notMatch(
    html,
    /<h2>(Answered|Fan-out|Messages received|Traffic|Held|Memory per connection|Failures|Notes)</,
  );
  t.notMatch(shownBy(html), /NaN|undefined|not measured/);
  t.match(shownBy(html), 'The server was not asked.');
  t.same(Object.keys(embedded(html, 'plots') as object), ['ramp']);
  t.end();
});

t.test('a number that was not measured is named so, and is not zero', (t) => {
  const result = fullResult();
  result.server.userBytesPerConnection = null;
  result.server.cpuMicrosecondsPerAccept = null;
  result.ramp.connectionsPerSecond = Infinity;
  const text = formatText(result);
  for (const label of ['user memory', 'both', 'CPU per accept', 'ramp']) {
    t.match(text, new RegExp(`^  ${label} +not measured( |$)`, 'm'));
  }
  t.match(text, /^ {2}kernel memory +2,312 {2}bytes$/m);
  t.match(formatHtml(result), '<p class="figure">not measured</p>');
  t.end();
});

t.test('a number is written with the unit that its rounded value belongs to', (t) => {
  t.equal(formatMicroseconds(0), '0 µs');
  t.equal(formatMicroseconds(9.994), '9.99 µs');
  t.equal(formatMicroseconds(9.996), '10.0 µs');
  t.equal(formatMicroseconds(999.4), '999 µs');
  t.equal(formatMicroseconds(999.6), '1.00 ms');
  t.equal(formatMicroseconds(999_600), '1.00 s');
  t.equal(formatMicroseconds(61_000_000), '61.0 s');
  t.equal(formatBytes(1023), '1,023 bytes');
  t.equal(formatBytes(1024), '1.00 KiB');
  t.equal(formatBytes(2 ** 20 - 1), '1.00 MiB');
  t.equal(formatSeconds(0.25), '0.25 s');
  t.equal(formatSeconds(3600), '3,600 s');
  t.end();
});

t.test('the verdict names everything that went wrong', (t) => {
  t.same(verdict(fullResult()), {
    isClean: false,
    text:
      '130 were not opened, 3 were lost while held, 6 were told of lost messages, 2 answered ' +
      'wrongly and 5 did not answer.',
  });
  t.end();
});

t.test('one of a kind is written in the singular', (t) => {
  const result = fullResult();
  Object.assign(result, { processes: 1, sourceAddresses: 1, cpus: 1, opened: 999_999, failed: 1 });
  result.server.workers = 1;
  for (const report of [formatText(result), shownBy(formatHtml(result))]) {
    t.match(report, '1 process, 1 source address');
    t.match(report, '0.1.6, 1 worker');
    t.match(report, '1 CPU, 7.75 GiB');
    t.match(report, '1 was not opened, 3 were lost while held,');
    t.notMatch(report, /\b1 (processes|source addresses|CPUs|workers|were)\b/);
  }
  t.end();
});

t.test('the verdict says whether every subscriber got each broadcast', (t) => {
  const bare = bareResult();
  const { fanout } = fullResult();
  const whole = { ...fanout, gaps: 0, broadcasts: [broadcast(1_000_000, 1)] };
  const said = 'Every connection opened and every one got the broadcast.';
  t.same(verdict({ ...bare, fanout: whole }), { isClean: true, text: said });
  const fewer = { ...whole, broadcasts: [broadcast(1_000_000, 1), broadcast(999_998, 1)] };
  t.match(verdict({ ...bare, fanout: fewer }).text, 'at least 999,998 got each of 2 broadcasts');
  t.notOk(verdict({ ...bare, fanout: { ...whole, gaps: 1 } }).isClean, 'a gap is not clean');
  t.end();
});

t.test('the verdict claims nothing about a phase that did not run', (t) => {
  const bare = bareResult();
  t.equal(headline(bare), '1,000,000 connections in 15.3 s');
  t.same(verdict(bare), { isClean: true, text: 'Every connection opened.' });
  const verify = { ...fullResult().verify, asked: 500, answered: 500, wrong: 0, unanswered: 0 };
  t.equal(
    verdict({ ...bare, verify }).text,
    'Every connection opened and each of the 500 asked answered what it was sent.',
  );
  t.end();
});

t.test('no text of a result leaves its column or moves the cursor of a terminal', (t) => {
  const long = `E${'LONG'.repeat(40)}`;
  t.match(formatText(withTexts(long)).replace(/\s/g, ''), `${long}130`, 'a long cause is not cut');
  t.match(formatText(withTexts('\u001b[2J')), '\\u{1b}[2J');
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const lines = formatText(withTexts(text)).split('\n');
      return lines.every((line) => line.length <= 80 && !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(line));
    }),
  );
  t.end();
});

t.test('the page shows the numbers of the result', (t) => {
  const shown = shownBy(formatHtml(fullResult()));
  for (const text of [
    '999,870 of 1,000,000 connections in 15.3 s',
    'Opened 999,870 of 1,000,000, 130 failed',
    'Ramp 65,351 connections/s in 15.3 s, 9.13 µs of server CPU each',
    'Memory per connection 2,384 bytes user 72 bytes, kernel 2,312 bytes',
    'Held 32.1 s 3 connections lost',
    'Answered 999,860 of 999,867 asked, 2 wrong, 5 unanswered',
    'Messages received 1,999,721 2 broadcasts, 6 gaps',
    '2 broadcasts to 999,870 subscribers. The slowest took 1.27 s from the first',
    'Transport websocket',
    'Traffic 180,708 messages/s 64 bytes each, over 1,024 connections',
    'ECONNRESET 101 EADDRNOTAVAIL 29',
    'Verify 999,862 421 µs 4.21 ms 8.00 ms 13.5 ms 19.8 ms 37.9 ms',
    'Active 1,843,219 31.2 µs 312 µs 593 µs 998 µs 1.47 ms 2.81 ms',
    'Server megacomet-ts 0.1.6, 8 workers',
    'Clients 4 processes, 18 source addresses',
    'Active 1,843,220 messages in 10.2 s',
    'Machine 6 CPUs, 7.75 GiB of memory Kernel Linux 6.1.0-28-amd64 Node.js v20.20.2',
    'Started 2026-01-14 09:31:07 UTC',
    'from &quot;32768 60999&quot; to &quot;1024 65535&quot;',
  ]) {
    t.ok(shown.includes(text), text);
  }
  t.end();
});

t.test('the page names no resource outside itself', (t) => {
  const html = formatHtml(fullResult());
  t.notMatch(html, /(src|srcset|href|action|data|poster)\s*=\s*["']?\s*(https?:)?\/\//i);
  t.notMatch(
    html,
    /@import|url\(|sourceMappingURL|<(link(?! rel="icon" href="data:,")|base|iframe)/i,
  );
  const named = new Set(html.match(/https?:\/\/[^\s"'<>)]*/g));
  t.same([...named], ['https://github.com/leeoniya/uPlot'], 'the comment that names uPlot');
  t.match(html, 'Permission is hereby granted, free of charge', 'the licence of uPlot');
  t.match(html, "default-src 'none'");
  t.end();
});

t.test('the page holds the whole result, whatever its texts are', (t) => {
  t.same(embedded(formatHtml(fullResult()), 'result'), fullResult());
  const html = formatHtml(withTexts(HOSTILE));
  t.same(embedded(html, 'result'), withTexts(HOSTILE));
  t.notMatch(html.slice(html.indexOf('id="result"')), '\u2028');
  t.end();
});

t.test('no text of a result becomes markup', (t) => {
  const tags = (html: string): string[] =>
    html.replace(/(?<=<(script|style)[^>]*>)[^]*?(?=<\/\1>)/g, '').match(/<[^>]*>/g) ?? [];
  // A name in a label is an attribute, so attributes are compared with the text taken out.
  const expected = tags(formatHtml(withTexts('tame')));
  t.same(tags(formatHtml(withTexts(HOSTILE.replaceAll(' ', '')))), expected);
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('<', '>', '"', "'", '&', '</script', '<!--', '<script', '/', 'x')),
      (parts) => t.same(tags(formatHtml(withTexts(`x${parts.join('')}`))), expected),
    ),
    { numRuns: 50 },
  );
  t.end();
});

t.test('the rate of the ramp is what was opened between two points', (t) => {
  const result = bareResult();
  result.ramp.curve = [
    { seconds: 1, opened: 100, failed: 0 },
    { seconds: 3, opened: 500, failed: 7 },
    { seconds: 3, opened: 500, failed: 7 },
  ];
  const { ramp } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(ramp, [
    [0, 1, 3, 3],
    [0, 100, 500, 500],
    [0, 0, 7, 7],
    [100, 100, 200, null],
  ]);
  t.end();
});

t.test('the fan-out is drawn as shares of the subscribers, on average and at its slowest', (t) => {
  const result = fullResult();
  result.opened = 100;
  result.fanout.broadcasts = [broadcast(100, 1), broadcast(50, 2)];
  const { fanout } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(fanout.names, ['All 2, on average', 'The slowest']);
  const [times = [], average = [], slowest = []] = fanout.columns;
  t.same([times[0], times.at(-1)], [0, 2000], 'milliseconds, up to the last arrival of all');
  t.same([average.at(-1), slowest.at(-1)], [75, 50], 'percent of the connections that opened');
  const isRising = (line: (number | null)[]): boolean =>
    line.every((percent, at) => at === 0 || Number(percent) >= Number(line[at - 1]));
  t.ok(isRising(average) && isRising(slowest), 'no line falls');
  result.fanout.broadcasts.pop();
  const one = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(one.fanout.names, ['The broadcast'], 'one has no other to be compared with');
  result.fanout.broadcasts.pop();
  const html = formatHtml(result);
  t.notOk('fanout' in (embedded(html, 'plots') as object), 'without any there is no plot');
  t.match(shownBy(html), 'No message went to more than one subscriber.');
  t.end();
});

t.test('the width of a bucket leaves no step in the drawn distribution', (t) => {
  const result = fullResult();
  Object.assign(result.verify.latency, { minUs: 1, maxUs: 100, count: 2400 });
  result.verify.latency.buckets = [
    { upToUs: 0.5, count: 0 },
    { upToUs: 10, count: 1200 },
    { upToUs: 10 ** 1.5, count: 600 },
    { upToUs: 1000, count: 600 },
  ];
  const { latency } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  const [starts = [], verify = [], active = []] = latency.columns;
  const held = verify.filter((percent) => percent !== null && percent > 1e-6);
  t.equal(held.length, 24, 'two decades of twelve bins');
  for (const percent of held) t.ok(Math.abs((percent ?? 0) - 100 / 24) < 1e-6, String(percent));
  const sum = active.reduce<number>((total, percent) => total + (percent ?? 0), 0);
  t.ok(Math.abs(sum - 100) < 1e-6, 'a distribution sums to 100 %');
  t.ok(starts.every((start, at) => at === 0 || Number(start) > Number(starts[at - 1])));
  t.end();
});

t.test('a measurement in which nothing was counted is not drawn', (t) => {
  const result = fullResult();
  result.verify.latency.buckets = [];
  const { latency } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.equal(latency.columns.length, 2, 'the bins and the other measurement');
  t.end();
});

/** Counts, in the browser, the pixels of every canvas that have the colour of each series. */
const COUNT_PAINTED = `(() => {
  const style = getComputedStyle(document.documentElement);
  const channels = (name) => [1, 3, 5].map((at) =>
    parseInt(style.getPropertyValue('--' + name).trim().slice(at, at + 2), 16));
  const painted = (canvas, name) => {
    const wanted = [...channels(name), 255];
    // Reading a copy: the browser warns of a canvas that is drawn on and read in turn.
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (wanted.every((value, part) => Math.abs(value - data[at + part]) < 16)) count += 1;
    }
    return count;
  };
  return ['ramp', 'fanout', 'memory', 'latency'].map((id) => {
    const canvas = document.querySelector('#' + id + ' canvas');
    return { first: painted(canvas, 'first'), second: painted(canvas, 'second') };
  });
})()`;

interface Painted {
  first: number;
  second: number;
}

/** Opens a page in a real browser, and answers what it complained of and what else it asked for. */
async function browse(
  directory: string,
  html: string,
  look: (page: Page) => Promise<void>,
): Promise<{ complaints: string[]; requests: string[] }> {
  const file = join(directory, 'report.html');
  writeFileSync(file, html);
  const complaints: string[] = [];
  const requests: string[] = [];
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ colorScheme: 'light' });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => requests.push(request.url()));
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(`file://${file}`);
    await look(page);
  } finally {
    await browser.close();
  }
  return { complaints, requests: requests.filter((url) => url !== `file://${file}`) };
}

/**
 * Looks again and again until a value is as wanted, for ten seconds, and answers the last one.
 * Playwright's own way of waiting evaluates text in the page, which the page's policy forbids.
 */
async function settle<Value>(
  look: () => Promise<Value>,
  isSettled: (value: Value) => boolean,
): Promise<Value> {
  const deadline = Date.now() + 10_000;
  let value = await look();
  while (!isSettled(value) && Date.now() < deadline) {
    await setTimeout(20);
    value = await look();
  }
  return value;
}

// A function, because tap writes into the options it is given.
function inBrowser(): { skip: string | false } {
  return { skip: noBrowser };
}

t.test('a browser draws every series, in both colour schemes', inBrowser(), (t) =>
  browse(t.testdir(), formatHtml(fullResult()), async (page) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      // The page learns of the scheme, and draws, in some later frame.
      const painted = await settle(
        () => page.evaluate<Painted[]>(COUNT_PAINTED),
        (plots) => plots.every(({ first }) => first > 100),
      );
      t.equal(painted.length, 4);
      for (const [at, { first, second }] of painted.entries()) {
        t.ok(first > 100 && second > 100, `${colorScheme}, plot ${at}: ${first}, ${second}`);
      }
    }
  }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test('a plot has the width of the page and tells what is under the pointer', inBrowser(), (t) =>
  browse(t.testdir(), formatHtml(fullResult()), async (page) => {
    await page.setViewportSize({ width: 390, height: 800 });
    const width = await settle(
      () => page.evaluate<number>(`document.querySelector('#ramp .uplot').offsetWidth`),
      (pixels) => pixels < 390,
    );
    t.ok(width > 200 && width < 390, `${width} pixels`);
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), 390, 'nothing sticks out');
    const legend = await settle(
      async () => {
        await page.mouse.move(0, 0);
        await page.hover('#ramp .u-over');
        return (await page.textContent('#ramp .u-legend')) ?? '';
      },
      (text) => text.includes('/s'),
    );
    t.match(legend, /Opened\d{3},\d{3}Rate65,3\d\d \/s/);
  }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test('a browser runs no script that a text of the result brings', inBrowser(), (t) =>
  browse(t.testdir(), formatHtml(withTexts(HOSTILE)), async (page) => {
    t.equal(await page.locator('canvas').count(), 4, 'and it still draws');
    t.equal(await page.textContent('code'), HOSTILE);
  }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test('a result of one point and of one bucket is drawn without an error', inBrowser(), (t) => {
  const result = bareResult();
  const { verify, server } = fullResult();
  Object.assign(verify.latency, { count: 1, minUs: 400, maxUs: 400 });
  verify.latency.buckets = [{ upToUs: 512, count: 1 }];
  server.memoryCurve.length = 1;
  return browse(t.testdir(), formatHtml({ ...result, verify, server }), async (page) => {
    t.equal(await page.locator('canvas').count(), 3);
  }).then((seen) => t.same(seen, { complaints: [], requests: [] }));
});
