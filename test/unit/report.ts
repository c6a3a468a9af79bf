// The reports of a bench run: the texts of terminal and page. No text of a result can change the
// layout or run as markup.
import fc from 'fast-check';
import t from 'tap';

import { formatBytes, formatMicroseconds, formatSeconds } from '../../lib/bench/measured-text.js';
import { headline, verdict } from '../../lib/bench/verdict.js';
import { formatHtml } from '../../lib/bench/report-html.js';
import { formatText } from '../../lib/bench/report.js';
import {
  bareResult,
  broadcast,
  embedded,
  fullResult,
  HOSTILE,
  shownBy,
  withTexts,
} from '../support/fakes/report.js';

t.test('the text report shows every number with its unit', (t) => {
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
    '  gaps                         6  reported to subscribers',
    '  broadcasts                   2  to more than one subscriber',
    '  reached                999,858  of 999,870, by the smallest broadcast',
    '  slowest                   1.27  s from the first delivery to the last',
    '  asked                  999,867',
    '  answered               999,860  in 9.4 s',
    '  wrong                        2',
    '  unanswered                   5',
    '  connections              1,024  sending continuously',
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

t.test('a report omits a phase that did not run', (t) => {
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
  t.match(shownBy(html), 'The run did not measure the memory of the server.');
  t.same(Object.keys(embedded(html, 'plots') as object), ['ramp']);
  t.end();
});

t.test('a number that was not measured is shown as "not measured", not as zero', (t) => {
  const result = fullResult();
  result.server.userBytesPerConnection = null;
  result.server.cpuMicrosecondsPerAccept = null;
  result.ramp.connectionsPerSecond = Infinity;
  const text = formatText(result);
  for (const label of ['user memory', 'both', 'CPU per accept', 'ramp']) {
    t.match(text, new RegExp(`^  ${label} +not measured( |$)`, 'm'));
  }
  t.match(text, /^ {2}kernel memory +2,312 {2}bytes$/m);
  t.match(formatHtml(result), '<p class="value">not measured</p>');
  t.end();
});

t.test('a number is written with the unit of its rounded value', (t) => {
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

t.test('the verdict lists every failure', (t) => {
  t.same(verdict(fullResult()), {
    isClean: false,
    text:
      '130 were not opened, 3 were lost while held, 6 gaps were reported, 2 answered ' +
      'wrongly and 5 did not answer.',
  });
  t.end();
});

t.test('a count of one is written in the singular', (t) => {
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

t.test('the verdict says whether every subscriber received each broadcast', (t) => {
  const bare = bareResult();
  const { fanout } = fullResult();
  const whole = { ...fanout, gaps: 0, broadcasts: [broadcast(1_000_000, 1)] };
  const said = 'Every connection opened and every one received the broadcast.';
  t.same(verdict({ ...bare, fanout: whole }), { isClean: true, text: said });
  const fewer = { ...whole, broadcasts: [broadcast(1_000_000, 1), broadcast(999_998, 1)] };
  t.match(
    verdict({ ...bare, fanout: fewer }).text,
    'at least 999,998 received each of 2 broadcasts',
  );
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
    'Every connection opened and each of the 500 verified returned the byte that it was sent.',
  );
  t.end();
});

t.test('no text of a result exceeds 80 columns or moves the cursor of a terminal', (t) => {
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
    'Answered 999,860 of 999,867, 2 wrong, 5 unanswered',
    'Messages received 1,999,721 2 broadcasts, 6 gaps',
    '2 broadcasts to 999,870 subscribers. The slowest took 1.27 s from first to last',
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

t.test('the page refers to no external resource', (t) => {
  const html = formatHtml(fullResult());
  t.notMatch(html, /(src|srcset|href|action|data|poster)\s*=\s*["']?\s*(https?:)?\/\//i);
  t.notMatch(
    html,
    /@import|url\(|sourceMappingURL|<(link(?! rel="icon" href="data:,")|base|iframe)/i,
  );
  const named = new Set(html.match(/https?:\/\/[^\s"'<>)]*/g));
  t.same(
    [...named],
    ['https://github.com/leeoniya/uPlot'],
    'the comment with the address of uPlot',
  );
  t.match(html, 'Permission is hereby granted, free of charge', 'the licence of uPlot');
  t.match(html, "default-src 'none'");
  t.end();
});

t.test('the page contains the whole result, for any texts in it', (t) => {
  t.same(embedded(formatHtml(fullResult()), 'result'), fullResult());
  const html = formatHtml(withTexts(HOSTILE));
  t.same(embedded(html, 'result'), withTexts(HOSTILE));
  t.notMatch(html.slice(html.indexOf('id="result"')), '\u2028');
  t.end();
});

t.test('no text of a result becomes markup', (t) => {
  const tags = (html: string): string[] =>
    html.replace(/(?<=<(script|style)[^>]*>)[^]*?(?=<\/\1>)/g, '').match(/<[^>]*>/g) ?? [];
  // A label is an attribute, so the hostile text has no spaces here.
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
