// Writes the terminal report of a bench run: plain text without colours, at most 80 columns.

import {
  type BenchResult,
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
  slowestBroadcast,
  totalBytesPerConnection,
  verdict,
} from './bench-result.js';

const COLUMNS_MAX = 80;
const LABEL_COLUMNS = 18;
const VALUE_COLUMNS = 14;

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
 * @returns Lines of at most 80 columns, the last one with its line feed.
 */
export function formatText(result: BenchResult): string {
  const sections: Section[] = [
    { title: 'Connections', lines: connectionRows(result).map(alignRow) },
    { title: 'Messages', lines: messageRows(result).map(alignRow) },
    { title: 'Answers', lines: answerRows(result).map(alignRow) },
    { title: 'Traffic', lines: trafficRows(result).map(alignRow) },
    { title: 'Server, per connection', lines: costRows(result).map(alignRow) },
    { title: 'Latency', lines: latencyTable(result) },
    { title: 'Run', lines: runLines(result) },
  ];
  const top = [`megacomet-ts ${showControls(result.version)} bench: ${headline(result)}`];
  const blocks = [top.concat(verdict(result).text).flatMap((line) => wrap(line, '', ''))];
  for (const { title, lines } of sections) {
    if (lines.length > 0) blocks.push([title, ...lines]);
  }
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function connectionRows(result: BenchResult): Row[] {
  const { ramp, hold } = result;
  const rows: Row[] = [
    ['requested', formatCount(result.requested)],
    ['opened', formatCount(result.opened), `in ${formatSeconds(ramp.seconds)}`],
    ['ramp', formatCount(ramp.connectionsPerSecond), 'connections/s'],
    ['failed', formatCount(result.failed)],
  ];
  for (const [errno, count] of failuresByCount(result)) {
    rows.push([`  ${showControls(errno)}`, formatCount(count)]);
  }
  if (hold !== undefined) {
    rows.push(['lost', formatCount(hold.lost), `while held for ${formatSeconds(hold.seconds)}`]);
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
    ['message', formatCount(active.messageBytes), 'bytes'],
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

function alignRow([label, value, remark = '']: Row): string {
  const numbers = `${value.padStart(VALUE_COLUMNS)}  ${remark}`.trimEnd();
  if (label.length + 2 < LABEL_COLUMNS) return `  ${label}`.padEnd(LABEL_COLUMNS) + numbers;
  // A long label has lines of its own: truncation would hide the cause of a failure.
  return [...wrap(label, '  ', '    '), ' '.repeat(LABEL_COLUMNS) + numbers].join('\n');
}

function latencyTable({ verify, active }: BenchResult): string[] {
  const columns: [name: string, latency: Latency][] = [];
  if (verify !== undefined) columns.push(['verify', verify.latency]);
  if (active !== undefined) columns.push(['active', active.latency]);
  if (columns.length === 0) return [];
  const names = columns.map(([name]) => name);
  const row = (label: string, cell: (latency: Latency) => string): string => {
    const cells = columns.map(([, latency]) => cell(latency));
    return alignCells(label, cells);
  };
  return [
    alignCells('', names),
    row('measured', (latency) => formatCount(latency.count)),
    row('min', (latency) => formatMicroseconds(latency.minUs)),
    row('p50', (latency) => formatMicroseconds(latency.p50Us)),
    row('p90', (latency) => formatMicroseconds(latency.p90Us)),
    row('p99', (latency) => formatMicroseconds(latency.p99Us)),
    row('p99.9', (latency) => formatMicroseconds(latency.p999Us)),
    row('max', (latency) => formatMicroseconds(latency.maxUs)),
  ];
}

function alignCells(label: string, cells: string[]): string {
  const first = `  ${label}`.padEnd(LABEL_COLUMNS);
  return first + cells.map((cell) => cell.padStart(VALUE_COLUMNS)).join('');
}

function runLines(result: BenchResult): string[] {
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
    wrap(showControls(text), `  ${label}`.padEnd(LABEL_COLUMNS), ' '.repeat(LABEL_COLUMNS)),
  );
}

// Breaks at spaces, and inside a word only if the word is longer than a line.
function wrap(text: string, first: string, indent = first): string[] {
  const lines: string[] = [];
  let line = first;
  let isStart = true;
  for (let word of text.split(' ')) {
    if (!isStart && line.length + 1 + word.length > COLUMNS_MAX) {
      lines.push(line);
      line = indent;
      isStart = true;
    }
    line += isStart ? '' : ' ';
    isStart = false;
    while (line.length + word.length > COLUMNS_MAX) {
      const room = COLUMNS_MAX - line.length;
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
