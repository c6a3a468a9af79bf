// Writes the report page of a bench run: one HTML file with its own plots, which needs no network.

import { createHash } from 'node:crypto';

import {
  type BenchResult,
  byCount,
  slowestBroadcast,
  totalBytesPerConnection,
} from './bench-result.js';
import {
  formatBytes,
  formatCost,
  formatCount,
  formatCounted,
  formatMicroseconds,
  formatMoment,
  formatSeconds,
  NOT_MEASURED,
} from './measured-text.js';
import { headline, verdict } from './verdict.js';
import { readPageAssets } from './page-assets.js';
import { latencies, type Plots, shapePlots } from './plots.js';

/**
 * Writes the report as one HTML page that needs no other file and no network.
 *
 * The page contains the whole result, as JSON in the element `result`. Its content security policy
 * allows only the scripts of page-assets.ts, for any text in the result. The page also contains
 * uPlot, 53 KB.
 */
export function formatHtml(result: BenchResult): string {
  const plots = shapePlots(result);
  const { scripts, style } = readPageAssets();
  const { losses = {} } = result;
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
<style>
${style}</style>
</head>
<body>
<main>
${header(result)}
${cards(result)}
${causesTable('Failures', result.failures)}
${causesTable('Lost', losses)}
${plotSections(result, plots)}
${latencyTable(result)}
${factsTable(result)}
${notesList(result)}
<footer class="remark">
This page contains the whole result, as JSON in the element “result”.
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

// HTML has no entities inside a script element: only "<" can end it or change how it is parsed. The
// two separators are line ends in JavaScript before ES2019.
function escapeJson(value: unknown): string {
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (found) => {
    return `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function header(result: BenchResult): string {
  const { isClean, text } = verdict(result);
  const origin = `megacomet-ts ${result.version} · bench of ${result.target}`;
  // The last space is before the unit, and a line should not start with a unit.
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
    const asked = `of ${formatCount(verify.asked)}`;
    const bad = `${formatCount(verify.wrong)} wrong, ${formatCount(verify.unanswered)} unanswered`;
    found.push(card('Answered', formatCount(verify.answered), `${asked}, ${bad}`));
  }
  if (active !== undefined) {
    const messages = `${formatCount(active.messagesPerSecond)} messages/s`;
    const connections = formatCounted(active.connections, 'connection');
    const remark = `${formatCounted(active.messageBytes, 'byte')} each, over ${connections}`;
    found.push(card('Traffic', messages, remark));
  }
  return `<section class="cards" data-count="${found.length}" aria-label="Key values">
${found.join('\n')}
</section>`;
}

function card(label: string, value: string, remark: string): string {
  const [number, ...unit] = value === NOT_MEASURED ? [value] : value.split(' ');
  const small = unit.length > 0 ? ` <small>${escapeHtml(unit.join(' '))}</small>` : '';
  return `<div class="card">
<h2>${escapeHtml(label)}</h2>
<p class="value">${escapeHtml(number ?? '')}${small}</p>
<p class="remark">${escapeHtml(remark)}</p>
</div>`;
}

const NO_MEMORY = 'The run did not measure the memory of the server.';

function plotSections(result: BenchResult, plots: Plots): string {
  const isPair = plots.memory !== undefined && plots.latency !== undefined;
  const failed = result.failed > 0 ? ', failed' : '';
  const ramp = plots.ramp && `Connections opened${failed}, and the rate of opening.`;
  const latency = plots.latency && latencyCaption(result);
  const memory = plots.memory && memoryCaption(result);
  return `<noscript><p class="remark">The plots need JavaScript; the tables do not.</p></noscript>
${plotSection('ramp', 'Ramp', ramp, 'The run recorded no progress.')}
${fanoutSection(result)}<div${isPair ? ' class="pair"' : ''}>
${plotSection('memory', 'Memory of the server', memory, NO_MEMORY)}
${plotSection('latency', 'Latency', latency, 'No latency was measured.')}
</div>`;
}

// The section exists only if the connections subscribed.
function fanoutSection({ fanout, opened }: BenchResult): string {
  if (fanout === undefined) return '';
  const slowest = slowestBroadcast(fanout);
  const withoutPlot = 'No message went to more than one subscriber.';
  if (slowest === undefined) return plotSection('fanout', 'Fan-out', undefined, withoutPlot);
  const took = formatMicroseconds(slowest.seconds * 1e6);
  const caption =
    `${formatCounted(fanout.broadcasts.length, 'broadcast')} to ` +
    `${formatCounted(opened, 'subscriber')}. The slowest took ${took} from first to last.`;
  return `${plotSection('fanout', 'Fan-out', caption, withoutPlot)}\n`;
}

function memoryCaption({ server }: BenchResult): string | undefined {
  const last = server?.memoryCurve.at(-1);
  if (last === undefined) return undefined;
  const kernel = formatBytes(last.kernelBytes);
  return `At the end: kernel ${kernel}, and user ${formatBytes(last.userBytes)}.`;
}

function latencyCaption({ verify, active }: BenchResult): string {
  const parts = [];
  if (verify !== undefined)
    parts.push(`Verify: ${formatCounted(verify.asked, 'connection')}, one byte each.`);
  if (active !== undefined) {
    const connections = formatCounted(active.connections, 'connection');
    parts.push(`Active: ${connections} sending continuously.`);
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

function causesTable(title: string, causes: Readonly<Record<string, number>>): string {
  const rows = byCount(causes).map(([cause, count]) => [cause, formatCount(count)]);
  return rows.length === 0 ? '' : table(title, ['Cause', 'Connections'], rows);
}

function notesList({ notes }: BenchResult): string {
  if (notes.length === 0) return '';
  const items = notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('\n');
  return `<section class="panel">\n<h2>Notes</h2>\n<ul>\n${items}\n</ul>\n</section>`;
}

function latencyTable(result: BenchResult): string {
  const rows = latencies(result).map(({ name, latency }) => {
    const { minUs, p50Us, p90Us, p99Us, p999Us, maxUs } = latency;
    const times = [minUs, p50Us, p90Us, p99Us, p999Us, maxUs];
    const cells = times.map((us) => (latency.count === 0 ? '-' : formatMicroseconds(us)));
    return [name, formatCount(latency.count), ...cells];
  });
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
  // report.css breaks the line between these words only, not at the hyphens of an option.
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
