// Writes the terminal report of a bench run: plain text without colours, at most 80 columns.

import {
  type BenchResult,
  byCount,
  type Latency,
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
} from './measured-text.js';
import { headline, verdict } from './verdict.js';

const COLUMNS_MAX = 80;

/** The widths of a report, for a wide or a narrow terminal. */
interface Shape {
  readonly columns: number;
  readonly label: number;
  readonly value: number;
}

/** Below this width a row has narrower columns, and its remark a line of its own. */
const WIDE_COLUMNS = 64;

function shapeOf(columns: number): Shape {
  return columns >= WIDE_COLUMNS
    ? { columns: Math.min(columns, COLUMNS_MAX), label: 18, value: 14 }
    : { columns: Math.max(columns, 30), label: 16, value: 12 };
}

/** The text for a time that was not measured, in a table. */
const DASH = '-';

/** One line: a label, a number, and the unit of the number. */
type Row = [label: string, value: string, remark?: string];

/** A heading and the lines under it. */
interface Section {
  title: string;
  lines: string[];
}

/**
 * Writes the report that a terminal shows.
 *
 * Escapes control characters in names, notes and the command, so that no text of a result can move
 * the cursor or colour the screen.
 *
 * @param columns - Width of the terminal.
 * @returns Lines of at most 80 columns, the last one with its line feed.
 */
export function formatText(result: BenchResult, columns = COLUMNS_MAX): string {
  const shape = shapeOf(columns);
  const alignAll = (rows: Row[]): string[] => rows.map((row) => alignRow(row, shape));
  const sections: Section[] = [
    { title: 'Connections', lines: alignAll(connectionRows(result)) },
    { title: 'Messages', lines: alignAll(messageRows(result)) },
    { title: 'Answers', lines: alignAll(answerRows(result)) },
    { title: 'Traffic', lines: alignAll(trafficRows(result)) },
    { title: 'Server, per connection', lines: alignAll(costRows(result)) },
    { title: 'Latency', lines: latencyTable(result, shape) },
    { title: 'Run', lines: runLines(result, shape) },
  ];
  const blocks = [topOf(result).flatMap((line) => wrap(line, shape, '', ''))];
  for (const { title, lines } of sections) {
    if (lines.length > 0) blocks.push([title, ...lines]);
  }
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

/** The first line of a run with a failure says so. */
function topOf(result: BenchResult): string[] {
  const { isClean, text } = verdict(result);
  const headlines = [`megacomet-ts ${showControls(result.version)} bench: ${headline(result)}`];
  if (isClean) headlines.push(text);
  else headlines.unshift(`bench failed: ${showControls(text)}`);
  return headlines;
}

function causeRows(causes: Readonly<Record<string, number>>): Row[] {
  return byCount(causes).map(([cause, count]) => [`  ${showControls(cause)}`, formatCount(count)]);
}

function connectionRows(result: BenchResult): Row[] {
  const { ramp, hold, lost = 0, losses = {} } = result;
  const rows: Row[] = [
    ['requested', formatCount(result.requested)],
    ['opened', formatCount(result.opened), `in ${formatSeconds(ramp.seconds)}`],
    ['ramp', formatCount(ramp.connectionsPerSecond), 'connections/s'],
    ['failed', formatCount(result.failed)],
  ];
  rows.push(...causeRows(result.failures));
  if (hold !== undefined) {
    rows.push(['lost', formatCount(hold.lost), `while held for ${formatSeconds(hold.seconds)}`]);
  }
  if (lost > (hold?.lost ?? 0)) rows.push(['lost', formatCount(lost), 'in all phases']);
  rows.push(...causeRows(losses));
  if (hold !== undefined) {
    const { serverCpuShare: share } = hold;
    if (typeof share === 'number') {
      rows.push(['idle CPU', (share * 100).toFixed(2), '% of a core, all workers']);
    }
  }
  return rows;
}

function messageRows({ fanout, opened }: BenchResult): Row[] {
  if (fanout === undefined) return [];
  const rows: Row[] = [
    ['received', formatCount(fanout.received), 'messages'],
    ['gaps', formatCount(fanout.gaps), 'reported to subscribers'],
  ];
  const slowest = slowestBroadcast(fanout);
  if (slowest === undefined) return rows;
  const fewest = Math.min(...fanout.broadcasts.map(({ reached }) => reached));
  const spread = splitUnit(formatMicroseconds(slowest.seconds * 1e6));
  return rows.concat([
    ['broadcasts', formatCount(fanout.broadcasts.length), 'to more than one subscriber'],
    ['reached', formatCount(fewest), `of ${formatCount(opened)}, by the smallest broadcast`],
    ['slowest', spread[0], `${spread[1] ?? ''} from the first delivery to the last`],
  ]);
}

function answerRows({ verify }: BenchResult): Row[] {
  if (verify === undefined) return [];
  return [
    ['asked', formatCount(verify.asked)],
    ['answered', formatCount(verify.answered), `in ${formatSeconds(verify.seconds)}`],
    ['wrong', formatCount(verify.wrong)],
    ['unanswered', formatCount(verify.unanswered)],
  ];
}

function trafficRows({ active }: BenchResult): Row[] {
  if (active === undefined) return [];
  const rows: Row[] = [
    ['connections', formatCount(active.connections), 'sending continuously'],
    ...(active.failed > 0 ? [['failed', formatCount(active.failed)] satisfies Row] : []),
    ['message', formatCount(active.messageBytes), active.messageBytes === 1 ? 'byte' : 'bytes'],
    ['messages', formatCount(active.messages), `in ${formatSeconds(active.seconds)}`],
    ['rate', formatCount(active.messagesPerSecond), 'messages/s'],
  ];
  const { serverCpuMicrosecondsPerMessage: cpu } = active;
  if (typeof cpu === 'number')
    rows.push(['CPU per message', ...splitUnit(formatMicroseconds(cpu))]);
  return rows;
}

function costRows({ server }: BenchResult): Row[] {
  if (server === undefined) return [];
  return [
    ['user memory', ...splitUnit(formatCost(server.userBytesPerConnection))],
    ['kernel memory', ...splitUnit(formatCost(server.kernelBytesPerConnection))],
    ['both', ...splitUnit(formatCost(totalBytesPerConnection(server)))],
    ['CPU per accept', ...splitUnit(formatMicroseconds(server.cpuMicrosecondsPerAccept))],
  ];
}

// Numbers are aligned at their last digit, so the unit is part of the remark.
function splitUnit(text: string): [value: string, unit: string] | [value: string] {
  const [value, unit] = text.split(' ');
  return value === undefined || unit === undefined || value === 'not' ? [text] : [value, unit];
}

function alignRow([label, value, remark = '']: Row, shape: Shape): string {
  const room = shape.columns - shape.label - shape.value;
  const isBeside = remark.length + 2 <= room;
  const numbers = `${value.padStart(shape.value)}  ${isBeside ? remark : ''}`.trimEnd();
  const below = isBeside ? [] : wrap(remark, shape, ' '.repeat(4));
  if (label.length + 2 < shape.label) {
    return [`  ${label}`.padEnd(shape.label) + numbers, ...below].join('\n');
  }
  // A long label has lines of its own: truncation would hide the cause of a failure.
  const above = wrap(label, shape, '  ', '    ');
  return [...above, ' '.repeat(shape.label) + numbers, ...below].join('\n');
}

function latencyTable({ verify, active }: BenchResult, shape: Shape): string[] {
  const columns: [name: string, latency: Latency][] = [];
  if (verify !== undefined) columns.push(['verify', verify.latency]);
  if (active !== undefined) columns.push(['active', active.latency]);
  if (columns.length === 0) return [];
  const names = columns.map(([name]) => name);
  const row = (label: string, cell: (latency: Latency) => string): string => {
    const cells = columns.map(([, latency]) => cell(latency));
    return alignCells(label, cells, shape);
  };
  const time = (label: string, us: (latency: Latency) => number): string =>
    row(label, (latency) => (latency.count === 0 ? DASH : formatMicroseconds(us(latency))));
  return [
    alignCells('', names, shape),
    row('measured', (latency) => formatCount(latency.count)),
    time('min', (latency) => latency.minUs),
    time('p50', (latency) => latency.p50Us),
    time('p90', (latency) => latency.p90Us),
    time('p99', (latency) => latency.p99Us),
    time('p99.9', (latency) => latency.p999Us),
    time('max', (latency) => latency.maxUs),
  ];
}

function alignCells(label: string, cells: string[], shape: Shape): string {
  const first = `  ${label}`.padEnd(shape.label);
  return first + cells.map((cell) => cell.padStart(shape.value)).join('');
}

function runLines(result: BenchResult, shape: Shape): string[] {
  const processes = formatCounted(result.processes, 'process', 'processes');
  const sources = formatCounted(result.sourceAddresses, 'source address', 'source addresses');
  const { server, fanout } = result;
  const facts: [label: string, text: string][] = [
    ['target', result.target],
    ['clients', `${processes}, ${sources}`],
    [
      'machine',
      `${formatCounted(result.cpus, 'CPU')}, ${formatBytes(result.memoryBytes)} of memory`,
    ],
    ['kernel', result.kernel],
    ['Node.js', result.node],
    ['started', formatMoment(result.startedAt)],
    ['command', result.command],
  ];
  if (server !== undefined) {
    const workers = formatCounted(server.workers, 'worker');
    facts.splice(1, 0, ['server', `megacomet-ts ${server.version}, ${workers}`]);
  }
  if (fanout !== undefined) facts.splice(1, 0, ['transport', fanout.transport]);
  for (const note of result.notes) facts.push(['note', note]);
  return facts.flatMap(([label, text]) =>
    wrap(showControls(text), shape, `  ${label}`.padEnd(shape.label), ' '.repeat(shape.label)),
  );
}

// Breaks at spaces, and inside a word only if the word is longer than a line.
function wrap(text: string, { columns }: Shape, first: string, indent = first): string[] {
  const lines: string[] = [];
  let line = first;
  let isStart = true;
  for (let word of text.split(' ')) {
    if (!isStart && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent;
      isStart = true;
    }
    line += isStart ? '' : ' ';
    isStart = false;
    while (line.length + word.length > columns) {
      const room = columns - line.length;
      lines.push(line + word.slice(0, room));
      line = indent;
      word = word.slice(room);
    }
    line += word;
  }
  return [...lines, line];
}

function showControls(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (found) => {
    return `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`;
  });
}
