// The rules about the documentation of the program: the map of its files, and the help texts of counters
// and options. Pure functions: files in, problems out.
import { ROOMS } from './rules.js';
import { lineAt, maskCxx, type Check, type Problem } from './source.js';

const HELP_LENGTH_MIN = 20;

/** ARCHITECTURE.md has a row for every room, as `| base/ | … |` below `native/` or `lib/`. */
export const architecture: Check = (files) => {
  const page = files.find(({ path }) => path === 'ARCHITECTURE.md');
  if (!page) return [];
  const listed = new Set<string>();
  let top = '';
  for (const line of page.text.split('\n')) {
    top = /^\| room in (\w+)\/ /.exec(line)?.[1] ?? top;
    const [, room, sentence = ''] = /^\| `([\w.]+)\/?`\s*\| ([^|]*)\|/.exec(line) ?? [];
    if (room !== undefined && sentence.trim() !== '') listed.add(`${top}/${room}`);
  }
  return Object.keys(ROOMS)
    .filter((room) => !listed.has(room))
    .map((room) => ({
      path: page.path,
      line: 1,
      message: `has no row for the room ${room}: describe its purpose in one sentence`,
    }));
};

interface CounterRow {
  name: string;
  kind: string;
  help: string;
  line: number;
}

/** Reads the rows X(kName, "name", kKind, "help…") of the list; `broken` are lines that did not fit. */
function counterRows(text: string): { rows: CounterRow[]; broken: number[] } {
  const code = maskCxx(text).withStrings;
  const start = code.search(/#\s*define\s+MC_COUNTERS\s*\(/);
  if (start === -1) return { rows: [], broken: [] };
  // The list ends at the first line that is not continued.
  const end = start + (/[^\\]\n/.exec(code.slice(start))?.index ?? code.length);
  const list = code.slice(0, end + 1);
  const begins = [...list.matchAll(/\bX\s*\(/g)].filter(({ index }) => index > start);
  const rows: CounterRow[] = [];
  const broken: number[] = [];
  for (const { index } of begins) {
    const flat = list.slice(index).replace(/\\\n/g, ' \n');
    const match =
      /^X\s*\(\s*k\w+\s*,\s*"([^"]*)"\s*,\s*([\w:]+)\s*,\s*((?:"(?:\\.|[^"\\])*"\s*)+)\)/.exec(
        flat,
      );
    const line = lineAt(code, index);
    if (!match) {
      broken.push(line);
      continue;
    }
    const [, name = '', kind = '', literals = ''] = match;
    const help = [...literals.matchAll(/"((?:\\.|[^"\\])*)"/g)].map((part) => part[1]).join('');
    rows.push({ name, kind, help, line });
  }
  return { rows, broken };
}

function checkCounter(row: CounterRow, all: readonly CounterRow[]): string | undefined {
  const isGauge = /gauge/i.test(row.kind);
  const isTotal = row.name.endsWith('_total');
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(row.name)) return `${row.name}: name it in snake_case`;
  if (all.find(({ name }) => name === row.name) !== row) return `${row.name} is listed twice`;
  if (isGauge && isTotal) return `${row.name} is a gauge: drop _total`;
  if (!isGauge && !isTotal) return `${row.name} only grows: end it in _total, or make it a gauge`;
  return checkHelp(row);
}

function checkHelp({ name, help }: { name: string; help: string }): string | undefined {
  if (help.trim().length >= HELP_LENGTH_MIN) return undefined;
  return `${name} has a help of ${help.trim().length} characters: explain it to the reader`;
}

/** Every counter of native/ipc/segment.h is named and explained. */
export const counters: Check = (files) =>
  files
    .filter(({ path }) => path === 'native/ipc/segment.h')
    .flatMap(({ path, text }) => {
      const { rows, broken } = counterRows(text);
      if (rows.length === 0) {
        return [
          { path, line: 1, message: 'has no rows X(kName, "name", kKind, "help") in MC_COUNTERS' },
        ];
      }
      return [
        ...broken.map((line) => ({
          path,
          line,
          message:
            'is not a row X(kName, "name", kKind, "help"): write it in this form, with a help text',
        })),
        ...rows.flatMap((row) => {
          const message = checkCounter(row, rows);
          return message ? [{ path, line: row.line, message }] : [];
        }),
      ];
    });

/** Every option of lib/options/commands.ts has a help text; takes what `OPTIONS` holds. */
export function options(value: unknown): Problem[] {
  const path = 'lib/options/commands.ts';
  if (!Array.isArray(value) || value.length === 0) {
    return [{ path, line: 1, message: 'exports no COMMANDS with options of { name, help, … }' }];
  }
  return value.flatMap((option: unknown, index) => {
    const { name, help } = (option ?? {}) as { name?: unknown; help?: unknown };
    const shown = typeof name === 'string' && name !== '' ? name : `option ${index}`;
    const message = checkHelp({ name: shown, help: typeof help === 'string' ? help : '' });
    return message ? [{ path, line: 1, message }] : [];
  });
}
