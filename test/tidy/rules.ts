// The rules of the source tree about rooms and allowed uses, as pure functions: files in, problems
// out. test/tidy/tidy.ts runs each one against a planted violation and against the tree.
import {
  CXX_FILE,
  includesOf,
  maskCxx,
  modulesOf,
  PRODUCT_FILE,
  type Check,
  type Found,
  type Problem,
  type SourceFile,
} from './source.js';

/**
 * The one table of rooms: which other rooms a file of a room may use. A room is a folder below
 * native/ or lib/; `.` is lib/ itself, the entry points. An entry with a file name allows that file
 * alone; `*` allows every room above. ARCHITECTURE.md describes the purpose of each room.
 */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  'native/base': [],
  'native/os': ['base'],
  'native/codec': ['base'],
  'native/ipc': ['base', 'os'],
  'native/auth': ['base', 'os', 'codec', 'ipc'],
  'native/tls': ['base', 'os'],
  'native/schedule': ['base', 'os', 'ipc'],
  'native/pubsub': ['base', 'os', 'codec', 'ipc'],
  'native/connection': ['base', 'os', 'codec', 'ipc', 'auth', 'tls', 'schedule', 'pubsub'],
  'native/hub': ['base', 'os', 'codec', 'ipc', 'auth', 'pubsub', 'connection'],
  'native/protocol': ['base', 'codec', 'ipc', 'auth', 'pubsub', 'connection'],
  'native/worker': ['base', 'os', 'ipc', 'schedule', 'connection', 'hub', 'protocol'],
  'native/dialer': ['base', 'os', 'codec', 'ipc', 'tls'],
  'native/addon': ['base', 'os', 'ipc', 'worker', 'dialer'],

  'lib/base': [],
  'lib/collections': [],
  'lib/options': ['base'],
  'lib/system': ['base'],
  'lib/capacity': ['base', 'system'],
  'lib/ipc': ['base', 'collections'],
  'lib/access': ['base', 'ipc'],
  'lib/tls': ['base', 'ipc'],
  'lib/log': ['base'],
  'lib/broker': ['base', 'collections', 'ipc', 'log'],
  'lib/stats': ['base', 'system'],
  'lib/manager': ['base', 'system', 'ipc', 'stats'],
  'lib/doctor': ['base', 'system', 'capacity'],
  'lib/systemd': ['base', 'system', 'capacity/sizing.ts'],
  'lib/api': ['base', 'system', 'ipc', 'access', 'broker', 'stats'],
  'lib/server': [
    'base',
    'options',
    'system',
    'capacity',
    'ipc',
    'access',
    'tls',
    'log',
    'broker',
    'stats',
    'manager',
    'systemd',
    'api',
  ],
  'lib/bench': ['base', 'system', 'ipc', 'stats', 'api/admin-client.ts'],
  'lib/cli': ['*'],
  'lib/.': ['*'],
};

/** An entry of a process: it imports packages only, and nothing imports it. */
const ENTRIES = ['lib/worker.cts'];
/** Plain JavaScript that runs before or without the compiled tree: it may import anything. */
const OUTSIDE = ['lib/bin.js', 'lib/check-system.js', 'lib/node-version.cjs'];

/** Names that only some files may use, and the alternative for all others. */
const CONFINED_INCLUDES = [
  {
    pattern: /^(sys\/socket\.h|netinet\/.*|arpa\/.*)$/,
    units: ['native/os/sys', 'native/os/address', 'native/addon/listening'],
    instead: 'call a function of sys.h',
  },
  { pattern: /^ev(\+\+)?\.h$/, units: ['native/os/libev'], instead: 'include "os/libev.h"' },
  {
    pattern: /^(napi|node_api|js_native_api)\.h$/,
    units: ['native/addon/binding'],
    instead: 'let binding.cc convert',
  },
];

/** Native files that may take memory from the heap by hand: on request, never per idle connection. */
const HEAP_USERS = ['native/ipc/frame_codec', 'native/ipc/control', 'native/os/slab'];

/** Native calls with a better alternative here. Matched against code without comments and strings. */
const BANNED_NATIVE: readonly { pattern: RegExp; instead: string; allowed?: string[] }[] = [
  { pattern: /\bassert\s*\(/, instead: 'MC_CHECK, which is always on' },
  { pattern: /\b(strcpy|strcat|stpcpy)\s*\(/, instead: 'memcpy with a checked length' },
  { pattern: /\bv?sprintf\s*\(/, instead: 'snprintf' },
  { pattern: /\bgets\s*\(/, instead: 'read with a length' },
  {
    pattern: /\b(printf|vprintf|puts|putchar)\s*\(|\bfprintf\s*\(\s*stdout\b/,
    instead: 'a log frame to the manager, which owns stdout',
  },
  { pattern: /\bstd::(cout|cerr|clog)\b/, instead: 'a log frame to the manager' },
  { pattern: /\bv?fork\s*\(/, instead: 'lib/ipc/spawn.ts: Node cannot go on after fork' },
  { pattern: /\b(usleep|nanosleep|sleep)\s*\(/, instead: 'an ev_timer: the loop never waits' },
  {
    pattern: /\bnew\b(?!\s*\((?!\s*std::nothrow))|\b(malloc|calloc|realloc|strdup)\s*\(/,
    instead: 'memory of the slab, or a member of a standard container',
    allowed: HEAP_USERS,
  },
  {
    pattern: /\b(shared_ptr|make_shared)\s*</,
    instead: 'Ref: it needs newer libraries than those of Node',
  },
  {
    pattern: /\b(throw|try|catch)\b/,
    instead: 'a closed result for an expected error, MC_CHECK for a bug',
  },
];

// ---- Rooms

/** The room of a path, such as `lib/doctor` for lib/doctor/checks/ports.ts; undefined outside. */
export function roomOf(path: string): string | undefined {
  const [top = '', folder = '', ...rest] = path.split('/');
  if (!PRODUCT_FILE.test(path)) return undefined;
  const room = rest.length === 0 ? `${top}/.` : `${top}/${folder}`;
  return Object.hasOwn(ROOMS, room) ? room : undefined;
}

function checkUse(from: string, to: string): string | undefined {
  const [own, other] = [roomOf(from), roomOf(to)];
  if (own === undefined) return undefined;
  if (ENTRIES.includes(to) || OUTSIDE.includes(to)) return `uses ${to}, which is an entry point`;
  if (ENTRIES.includes(from)) return `uses ${to}: an entry point uses packages only`;
  if (other === undefined) return `uses ${to}, which is in no room of test/tidy/rules.ts`;
  if (own === other) return undefined;
  const [, ...path] = to.split('/');
  const [room = '', file] = [path[0], path.join('/')];
  const allowed = ROOMS[own] ?? [];
  if (
    own.split('/')[0] === to.split('/')[0] &&
    (allowed.includes('*') || allowed.includes(room) || allowed.includes(file))
  )
    return undefined;
  return `uses ${to}, and ${own} may not use ${other}: move the shared part below both, or pass it in`;
}

function resolveModule(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  const path = parts.join('/');
  if (OUTSIDE.includes(path)) return path;
  return path
    .replace(/\.cjs$/, '.cts')
    .replace(/\.mjs$/, '.mts')
    .replace(/\.js$/, '.ts');
}

/** The files of the project that a file includes or imports. */
function usesOf(source: SourceFile): Found<string>[] {
  if (source.path.startsWith('native/')) {
    const quoted = includesOf(source).filter((include) => include.isQuoted);
    return quoted.map(({ name, line }) => ({ value: `native/${name}`, line }));
  }
  return modulesOf(source)
    .filter(({ value }) => value.startsWith('.'))
    .map(({ value, line }) => ({ value: resolveModule(source.path, value), line }));
}

const hasUses = (path: string): boolean =>
  /^native\/.*\.(h|cc|c)$/.test(path) ||
  (/^lib\/.*\.(ts|cts|js)$/.test(path) && !OUTSIDE.includes(path));

/** A file uses only files of its own room and of the rooms that the table allows. */
export const rooms: Check = (files) =>
  files
    .filter(({ path }) => hasUses(path))
    .flatMap((source) =>
      usesOf(source).flatMap(({ value, line }) => {
        const message = checkUse(source.path, value);
        return message ? [{ path: source.path, line, message }] : [];
      }),
    );

/** Every file under native/ and lib/ is in a room. */
export const everyFileHasARoom: Check = (files) =>
  files
    .filter(({ path }) => PRODUCT_FILE.test(path) && roomOf(path) === undefined)
    .map(({ path }) => ({
      path,
      line: 1,
      message: 'is in no room: move it, or add its room to ROOMS of test/tidy/rules.ts',
    }));

/** Every room of the table has a file. */
export const everyRoomHasAFile: Check = (files) => {
  const used = new Set(files.map(({ path }) => roomOf(path)));
  return Object.keys(ROOMS)
    .filter((room) => !used.has(room))
    .map((room) => ({
      path: 'test/tidy/rules.ts',
      line: 1,
      message: `ROOMS has ${room}, which has no file: remove the row`,
    }));
};

/** The rooms that a table row uses, by their full names. */
function roomsUsedBy(room: string): string[] {
  const [top = ''] = room.split('/');
  const named = (ROOMS[room] ?? []).filter((used) => used !== '*');
  return named.map((used) => `${top}/${used.split('/')[0] ?? ''}`);
}

/** A row of the table names only rooms of earlier rows, so a circle of rooms is impossible. */
export function roomCircles(): string[] {
  const order = Object.keys(ROOMS);
  return order.flatMap((room, index) =>
    roomsUsedBy(room)
      .filter((used) => !order.slice(0, index).includes(used))
      .map((used) => `${room} uses ${used}, which is not above it in ROOMS`),
  );
}

/** The .h and the .cc of one name are one unit. */
const unitOf = (path: string): string =>
  path.startsWith('native/') ? path.replace(CXX_FILE, '') : path;

/** No file uses itself through others. One report for each circle, at its first file by name. */
export const fileCircles: Check = (files) => {
  const uses = new Map<string, Set<string>>();
  for (const source of files.filter(({ path }) => hasUses(path))) {
    const unit = unitOf(source.path);
    const own = uses.get(unit) ?? new Set<string>();
    for (const { value } of usesOf(source)) if (unitOf(value) !== unit) own.add(unitOf(value));
    uses.set(unit, own);
  }
  const problems: Problem[] = [];
  const done = new Set<string>();
  const walk = (unit: string, trail: readonly string[]): void => {
    const at = trail.indexOf(unit);
    if (at >= 0) {
      const circle = [...trail.slice(at), unit].join(' -> ');
      problems.push({ path: unit, line: 1, message: `is part of a circle: ${circle}` });
    }
    if (at >= 0 || done.has(unit)) return;
    for (const used of [...(uses.get(unit) ?? [])].sort()) walk(used, [...trail, unit]);
    done.add(unit);
  };
  for (const unit of [...uses.keys()].sort()) walk(unit, []);
  return problems;
};

// ---- Allowed uses

export const confinedIncludes: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) =>
      includesOf(source).flatMap(({ name, line }) => {
        const rule = CONFINED_INCLUDES.find(({ pattern }) => pattern.test(name));
        if (!rule || rule.units.includes(source.path.replace(CXX_FILE, ''))) return [];
        const owners = rule.units.map((unit) => unit.replace(/^native\/\w+\//, '')).join(' and ');
        const message = `includes ${name}, which belongs to ${owners}: ${rule.instead}`;
        return [{ path: source.path, line, message }];
      }),
    );

export const bannedNative: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) => {
      const unit = source.path.replace(CXX_FILE, '');
      const rules = BANNED_NATIVE.filter(({ allowed }) => !allowed?.includes(unit));
      const lines = maskCxx(source.text).code.split('\n');
      return lines.flatMap((code, index) => {
        // The name in an #include is not a call.
        if (/^\s*#\s*include\b/.test(code)) return [];
        return rules.flatMap(({ pattern, instead }) => {
          const match = pattern.exec(code);
          if (!match) return [];
          const message = `uses ${match[0].replace(/\s*\($/, '')}: use ${instead}`;
          return [{ path: source.path, line: index + 1, message }];
        });
      });
    });
