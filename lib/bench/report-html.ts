// Owns the report page of a bench run: one HTML file that draws its own plots and asks the network
// for nothing.is given a finished result; knows nothing of how it was measured, of the
// terminal report, nor of how plots.ts draws the numbers that are shaped for it here.

import { createHash } from 'node:crypto';

import {
  type BenchResult,
  type Broadcast,
  failuresByCount,
  formatBytes,
  formatCost,
  formatCount,
  formatCounted,
  formatMicroseconds,
  formatMoment,
  formatSeconds,
  headline,
  type Latency,
  NOT_MEASURED,
  slowestBroadcast,
  totalBytesPerConnection,
  verdict,
} from './bench-result.js';
import { type Columns, type Plots, readPlotAssets } from './plots.js';

/** Width of a bar of the latency plot: twelve to a decade, so each is 21 % wider than the last. */
const BINS_PER_DECADE = 12;

/** Below this a latency, microseconds, is drawn as this: a log axis has no zero. */
const DRAWN_MIN_US = 0.1;

/**
 * Writes the report as one HTML page that can be kept, mailed and opened without a network.
 *
 * The page holds the whole result, as JSON in the element `result`. Its content security policy
 * lets nothing run but the scripts of plots.ts, whatever text the result contains.
 *
 * Cost: reads three files of the package uplot, 53 KB, and repeats them in the page.
 */
export function formatHtml(result: BenchResult): string {
  const plots = shapePlots(result);
  const { scripts, style } = readPlotAssets();
  const policy = [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    'img-src data:',
    `script-src ${scripts.map((script) => `'${sha256(script)}'`).join(' ')}`,
  ].join('; ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(headline(result))} · megacomet-ts bench</title>
<link rel="icon" href="data:,">
<style>${PAGE_STYLE}${style}</style>
</head>
<body>
<main>
${header(result)}
${cards(result)}
${failuresTable(result)}
${plotSections(result, plots)}
${latencyTable(result)}
${factsTable(result)}
${notesList(result)}
<footer class="remark">
The whole result is in this page, as JSON in its element “result”.
</footer>
</main>
<script type="application/json" id="result">${escapeJson(result)}</script>
<script type="application/json" id="plots">${escapeJson(plots)}</script>
${scripts.map((script) => `<script>${script}</script>`).join('\n')}
</body>
</html>
`;
}

function sha256(script: string): string {
  return `sha256-${createHash('sha256').update(script).digest('base64')}`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' };
  return text.replace(/[&<>"']/g, (found) => `&${entities[found] ?? '#39'};`);
}

// Inside a script element HTML knows no entities: only "<" can end it or change how it is parsed.
// The two separators are line ends to JavaScript before 2019.
function escapeJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (found) => {
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function shapePlots(result: BenchResult): Plots {
  const plots: Plots = {};
  const memory = result.server?.memoryCurve ?? [];
  if (result.ramp.curve.length > 0) plots.ramp = rampColumns(result);
  if (memory.length > 0) {
    plots.memory = [
      memory.map((point) => point.seconds),
      memory.map((point) => point.userBytes + point.kernelBytes),
      memory.map((point) => point.userBytes),
      memory.map((point) => point.connections),
    ];
  }
  const fanout = fanoutPlot(result);
  if (fanout !== undefined) plots.fanout = fanout;
  const measured = latencies(result).filter(({ latency }) => {
    return latency.buckets.some((bucket) => bucket.count > 0);
  });
  if (measured.length > 0) {
    const series = measured.map(({ name, latency }) => {
      return { name, p50Us: latency.p50Us, p99Us: latency.p99Us };
    });
    plots.latency = { columns: latencyColumns(measured.map(({ latency }) => latency)), series };
  }
  return plots;
}

function rampColumns({ ramp }: BenchResult): Columns {
  const [first] = ramp.curve;
  const start = { seconds: 0, opened: 0, failed: 0 };
  const curve = first !== undefined && first.seconds > 0 ? [start, ...ramp.curve] : ramp.curve;
  const rates = curve.map((point, index) => {
    const before = curve[index - 1];
    if (before === undefined || point.seconds <= before.seconds) return null;
    return (point.opened - before.opened) / (point.seconds - before.seconds);
  });
  // A step is drawn back to the point before it, and needs that point to have a value.
  rates[0] = rates[1] ?? null;
  return [
    curve.map((point) => point.seconds),
    curve.map((point) => point.opened),
    curve.map((point) => point.failed),
    rates,
  ];
}

/** Points of the plot of a fan-out: finer than the pixels that it is drawn with. */
const FANOUT_POINTS = 1000;

// Each broadcast has its own times: all are read off at the same moments, evenly spaced. One line
// is their average, and the other the slowest of them.
function fanoutPlot({ fanout, opened }: BenchResult): Plots['fanout'] {
  const slowest = fanout && slowestBroadcast(fanout);
  if (fanout === undefined || slowest === undefined || opened === 0) return undefined;
  const { broadcasts } = fanout;
  const step = (slowest.seconds > 0 ? slowest.seconds : 1e-3) / FANOUT_POINTS;
  const times = Array.from({ length: FANOUT_POINTS + 1 }, (_, index) => index * step);
  const shares = broadcasts.map((one) => reachedAt(one, times).map((count) => count / opened));
  const average = times.map(
    (_, index) => shares.reduce((sum, share) => sum + (share[index] ?? 0), 0) / shares.length,
  );
  const lines = [average];
  const names = [broadcasts.length > 1 ? `All ${broadcasts.length}, on average` : 'The broadcast'];
  if (broadcasts.length > 1) {
    lines.push(shares[broadcasts.indexOf(slowest)] ?? []);
    names.push('The slowest');
  }
  const percents = lines.map((line) => line.map((share) => 100 * share));
  return { columns: [times.map((seconds) => seconds * 1000), ...percents], names };
}

function reachedAt({ curve, reached, seconds: last }: Broadcast, times: number[]): number[] {
  let index = 0;
  let count = 0;
  return times.map((time) => {
    for (; (curve[index]?.seconds ?? Infinity) <= time; index += 1)
      count = curve[index]?.reached ?? 0;
    // The last moment may come out a hair before it, by rounding.
    return time >= last * (1 - 1e-9) ? reached : count;
  });
}

function latencies({ verify, active }: BenchResult): { name: string; latency: Latency }[] {
  const found = [];
  if (verify !== undefined) found.push({ name: 'Verify', latency: verify.latency });
  if (active !== undefined) found.push({ name: 'Active', latency: active.latency });
  return found;
}

function latencyColumns(measured: Latency[]): Columns {
  const binned = measured.map(percentByBin);
  const bins = binned.flatMap((percents) => [...percents.keys()]);
  // One empty bin on each side, so that the outline comes down to the axis.
  const first = Math.min(...bins) - 1;
  const last = Math.max(...bins) + 1;
  const drawn = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const starts = drawn.map((bin) => 10 ** (bin / BINS_PER_DECADE));
  return [starts, ...binned.map((percents) => outline(percents, drawn))];
}

// Zero inside the range of the measurement and next to it; a gap, so that no line is drawn, beyond.
function outline(percents: Map<number, number>, drawn: number[]): (number | null)[] {
  const first = Math.min(...percents.keys()) - 1;
  const last = Math.max(...percents.keys()) + 1;
  return drawn.map((bin) => percents.get(bin) ?? (bin >= first && bin <= last ? 0 : null));
}

// Two measurements may have different buckets, and buckets of different widths would make steps
// that are not in the data. So each bucket's requests are spread evenly, on the log scale, over the
// bins that it covers.
function percentByBin(latency: Latency): Map<number, number> {
  const percents = new Map<number, number>();
  const total = latency.buckets.reduce((sum, bucket) => sum + bucket.count, 0);
  const toBin = (us: number): number => BINS_PER_DECADE * Math.log10(Math.max(us, DRAWN_MIN_US));
  let lowerUs = 0;
  for (const { upToUs, count } of latency.buckets) {
    const from = toBin(Math.max(lowerUs, latency.minUs));
    const to = Math.max(from, toBin(Math.min(upToUs, latency.maxUs)));
    lowerUs = upToUs;
    if (count === 0) continue;
    for (let bin = Math.floor(from); bin <= Math.floor(to); bin += 1) {
      const covered = Math.min(bin + 1, to) - Math.max(bin, from);
      const part = to - from < 1e-9 ? 1 : covered / (to - from);
      percents.set(bin, (percents.get(bin) ?? 0) + (100 * part * count) / total);
    }
  }
  return percents;
}

function header(result: BenchResult): string {
  const { isClean, text } = verdict(result);
  const origin = `megacomet-ts ${result.version} · bench of ${result.target}`;
  // The last space is the one before the unit, and a unit does not begin a line.
  const title = escapeHtml(headline(result)).replace(/ (?=\S+$)/, '&nbsp;');
  return `<header>
<p class="remark">${escapeHtml(`${origin} · ${formatMoment(result.startedAt)}`)}</p>
<h1>${title}</h1>
<p class="verdict ${isClean ? 'clean' : 'unclean'}">${escapeHtml(text)}</p>
</header>`;
}

function cards(result: BenchResult): string {
  const { ramp, hold, verify, active, server, fanout } = result;
  const cpu = server?.cpuMicrosecondsPerAccept ?? null;
  const cpuText = cpu === null ? '' : `, ${formatMicroseconds(cpu)} of server CPU each`;
  const rate = `${formatCount(ramp.connectionsPerSecond)} connections/s`;
  const opened = `of ${formatCount(result.requested)}, ${formatCount(result.failed)} failed`;
  const found = [
    card('Opened', formatCount(result.opened), opened),
    card('Ramp', rate, `in ${formatSeconds(ramp.seconds)}${cpuText}`),
  ];
  if (server !== undefined) {
    const user = `user ${formatCost(server.userBytesPerConnection)}`;
    const kernel = `kernel ${formatCost(server.kernelBytesPerConnection)}`;
    const both = formatCost(totalBytesPerConnection(server));
    found.push(card('Memory per connection', both, `${user}, ${kernel}`));
  }
  if (hold !== undefined) {
    const lost = `${formatCounted(hold.lost, 'connection')} lost`;
    found.push(card('Held', formatSeconds(hold.seconds), lost));
  }
  if (fanout !== undefined) {
    const gaps = formatCounted(fanout.gaps, 'gap');
    const broadcasts = formatCounted(fanout.broadcasts.length, 'broadcast');
    found.push(card('Messages received', formatCount(fanout.received), `${broadcasts}, ${gaps}`));
  }
  if (verify !== undefined) {
    const asked = `of ${formatCount(verify.asked)} asked`;
    const bad = `${formatCount(verify.wrong)} wrong, ${formatCount(verify.unanswered)} unanswered`;
    found.push(card('Answered', formatCount(verify.answered), `${asked}, ${bad}`));
  }
  if (active !== undefined) {
    const messages = `${formatCount(active.messagesPerSecond)} messages/s`;
    const connections = formatCounted(active.connections, 'connection');
    const remark = `${formatCounted(active.messageBytes, 'byte')} each, over ${connections}`;
    found.push(card('Traffic', messages, remark));
  }
  return `<section class="cards" data-count="${found.length}" aria-label="Key figures">
${found.join('\n')}
</section>`;
}

function card(label: string, value: string, remark: string): string {
  const [number, ...unit] = value === NOT_MEASURED ? [value] : value.split(' ');
  const small = unit.length > 0 ? ` <small>${escapeHtml(unit.join(' '))}</small>` : '';
  return `<div class="card">
<h2>${escapeHtml(label)}</h2>
<p class="figure">${escapeHtml(number ?? '')}${small}</p>
<p class="remark">${escapeHtml(remark)}</p>
</div>`;
}

function plotSections(result: BenchResult, plots: Plots): string {
  const isPair = plots.memory !== undefined && plots.latency !== undefined;
  const failed = result.failed > 0 ? ', failed' : '';
  const ramp = plots.ramp && `Connections opened${failed}, and the rate at which they came.`;
  const latency = plots.latency && latencyCaption(result);
  return `<noscript><p class="remark">The plots need JavaScript; the tables do not.</p></noscript>
${plotSection('ramp', 'Ramp', ramp, 'The run recorded no curve.')}
${fanoutSection(result)}<div${isPair ? ' class="pair"' : ''}>
${plotSection('memory', 'Memory of the server', memoryCaption(result), 'The server was not asked.')}
${plotSection('latency', 'Latency', latency, 'No connection was asked.')}
</div>`;
}

// Only where connections subscribed: for others there is nothing to miss.
function fanoutSection({ fanout, opened }: BenchResult): string {
  if (fanout === undefined) return '';
  const slowest = slowestBroadcast(fanout);
  const withoutPlot = 'No message went to more than one subscriber.';
  if (slowest === undefined) return plotSection('fanout', 'Fan-out', undefined, withoutPlot);
  const took = formatMicroseconds(slowest.seconds * 1e6);
  const caption =
    `${formatCounted(fanout.broadcasts.length, 'broadcast')} to ` +
    `${formatCounted(opened, 'subscriber')}. The slowest took ${took} from the first to the last.`;
  return `${plotSection('fanout', 'Fan-out', caption, withoutPlot)}\n`;
}

function memoryCaption({ server }: BenchResult): string | undefined {
  const last = server?.memoryCurve.at(-1);
  if (last === undefined) return undefined;
  const kernel = formatBytes(last.kernelBytes);
  return `At the end: kernel ${kernel}, on top of user ${formatBytes(last.userBytes)}.`;
}

function latencyCaption({ verify, active }: BenchResult): string {
  const parts = [];
  if (verify !== undefined) parts.push(`Verify: ${formatCount(verify.asked)} asked once.`);
  if (active !== undefined) {
    parts.push(`Active: ${formatCount(active.connections)} sending without pause.`);
  }
  return parts.join(' ');
}

function plotSection(
  id: string,
  title: string,
  caption: string | undefined,
  withoutPlot: string,
): string {
  const label = escapeHtml(`${title}. ${caption ?? ''}`);
  const plot = `<div class="plot" id="${id}" role="img" aria-label="${label}"></div>\n`;
  return `<section class="panel">
<h2>${title}</h2>
<p class="remark">${escapeHtml(caption ?? withoutPlot)}</p>
${caption === undefined ? '' : plot}</section>`;
}

function failuresTable(result: BenchResult): string {
  const rows = failuresByCount(result).map(([errno, count]) => [errno, formatCount(count)]);
  return rows.length === 0 ? '' : table('Failures', ['Cause', 'Connections'], rows);
}

function notesList({ notes }: BenchResult): string {
  if (notes.length === 0) return '';
  const items = notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('\n');
  return `<section class="panel">\n<h2>Notes</h2>\n<ul>\n${items}\n</ul>\n</section>`;
}

function latencyTable(result: BenchResult): string {
  const rows = latencies(result).map(({ name, latency }) => [
    name,
    formatCount(latency.count),
    formatMicroseconds(latency.minUs),
    formatMicroseconds(latency.p50Us),
    formatMicroseconds(latency.p90Us),
    formatMicroseconds(latency.p99Us),
    formatMicroseconds(latency.p999Us),
    formatMicroseconds(latency.maxUs),
  ]);
  if (rows.length === 0) return '';
  const heads = ['', 'Measured', 'Min', 'p50', 'p90', 'p99', 'p99.9', 'Max'];
  return table('Latency percentiles', heads, rows);
}

function table(title: string, heads: string[], rows: string[][]): string {
  const head = heads.map((text) => `<th scope="col">${escapeHtml(text)}</th>`).join('');
  const body = rows.map(([first = '', ...cells]) => {
    const numbers = cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join('');
    return `<tr><th scope="row">${escapeHtml(first)}</th>${numbers}</tr>`;
  });
  return `<section class="panel">
<h2>${escapeHtml(title)}</h2>
<div class="scroll"><table class="numbers">
<thead><tr>${head}</tr></thead>
<tbody>
${body.join('\n')}
</tbody>
</table></div>
</section>`;
}

function factsTable(result: BenchResult): string {
  const { verify, active, server, fanout } = result;
  const facts: [label: string, text: string][] = [['Target', result.target]];
  if (fanout !== undefined) facts.push(['Transport', fanout.transport]);
  if (server !== undefined) {
    const workers = formatCounted(server.workers, 'worker');
    facts.push(['Server', `megacomet-ts ${server.version}, ${workers}`]);
  }
  const processes = formatCounted(result.processes, 'process', 'processes');
  const sources = formatCounted(result.sourceAddresses, 'source address', 'source addresses');
  facts.push(['Clients', `${processes}, ${sources}`]);
  if (verify !== undefined) facts.push(['Verify', `took ${formatSeconds(verify.seconds)}`]);
  if (active !== undefined) {
    const messages = formatCounted(active.messages, 'message');
    facts.push(['Active', `${messages} in ${formatSeconds(active.seconds)}`]);
  }
  facts.push(
    [
      'Machine',
      `${formatCounted(result.cpus, 'CPU')}, ${formatBytes(result.memoryBytes)} of memory`,
    ],
    ['Kernel', result.kernel],
    ['Node.js', result.node],
    ['Started', formatMoment(result.startedAt)],
  );
  const rows = facts.map(([label, text]) => factRow(label, escapeHtml(text)));
  // A line may end between words, not at the hyphens of an option; the style sees to that.
  const words = result.command.split(' ').map((word) => `<span>${escapeHtml(word)}</span>`);
  rows.push(factRow('Command', `<code>${words.join(' ')}</code>`));
  return `<section class="panel">
<h2>Run</h2>
<table class="facts"><tbody>
${rows.join('\n')}
</tbody></table>
</section>`;
}

function factRow(label: string, html: string): string {
  return `<tr><th scope="row">${escapeHtml(label)}</th><td>${html}</td></tr>`;
}

const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: #f4f6f8; --panel: #ffffff; --text: #16202b; --muted: #566373; --line: #dce2e9;
  --grid: #e8ecf1; --first: #1d67d8; --second: #cf5f0a; --bad: #c22f2b; --good: #157a48;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1217; --panel: #161d25; --text: #e7ecf1; --muted: #97a5b4; --line: #2a3541;
    --grid: #222c36; --first: #62a6ff; --second: #f7a04f; --bad: #ff7d75; --good: #4fc78d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif;
}
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1, h2, p { margin: 0; }
h1 {
  margin-top: 0.25rem; font-size: clamp(1.75rem, 4.5vw, 2.75rem); line-height: 1.15;
  letter-spacing: -0.02em; text-wrap: balance;
}
h2 { font-size: 1rem; font-weight: 600; }
.remark { color: var(--muted); font-size: 0.875rem; overflow-wrap: anywhere; }
.verdict { margin-top: 0.75rem; font-size: 1.0625rem; padding-left: 1.25rem; }
.verdict::before {
  content: ''; display: inline-block; width: 0.625rem; height: 0.625rem;
  margin: 0 0.625rem 0 -1.25rem; border-radius: 50%; background: var(--good);
}
.verdict.unclean::before { background: var(--bad); }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; margin: 2rem 0 1rem; }
.card { flex: 1 1 calc(50% - 1rem); }
@media (min-width: 56rem) {
  .card { flex-basis: calc(33% - 1rem); }
  [data-count='4'] .card { flex-basis: calc(50% - 1rem); }
}
.card, .panel {
  background: var(--panel); border: 1px solid var(--line); border-radius: 0.625rem;
  padding: 1.125rem 1.25rem; min-width: 0;
}
.card h2 { color: var(--muted); font-size: 0.875rem; font-weight: 500; }
.figure {
  font-size: clamp(1.375rem, 4vw, 1.875rem); font-weight: 650; line-height: 1.3;
  letter-spacing: -0.01em; font-variant-numeric: tabular-nums;
}
.figure small {
  display: inline-block; font-size: 0.9375rem; font-weight: 500; line-height: 1;
  letter-spacing: 0; color: var(--muted);
}
.panel { margin-top: 1rem; }
.pair { display: grid; gap: 0 1rem; grid-template-columns: minmax(0, 1fr); }
@media (min-width: 56rem) { .pair { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.plot { margin-top: 0.75rem; overflow: hidden; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 0.5rem; font-size: 0.9375rem; }
tbody tr { border-top: 1px solid var(--line); }
th, td { padding: 0.4375rem 0; text-align: left; vertical-align: top; font-weight: 400; }
.numbers { font-variant-numeric: tabular-nums; }
.numbers thead th { color: var(--muted); font-size: 0.875rem; }
.numbers th + th, .numbers td { padding-left: 1.25rem; text-align: right; white-space: nowrap; }
.facts th { width: 8rem; color: var(--muted); }
.facts td { overflow-wrap: anywhere; }
code { font: 0.875rem/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, monospace; }
code span { display: inline-block; max-width: 100%; }
footer { margin-top: 1.5rem; }
ul { margin: 0.5rem 0 0; padding-left: 1.25rem; overflow-wrap: anywhere; }
@media print { body { background: none; } .panel, .card { break-inside: avoid; } }
`;
