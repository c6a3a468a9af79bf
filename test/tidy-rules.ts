// The rules of the source tree about who stands where and may use what, as pure functions: files in,
// problems out. test/tidy.ts runs each one against a planted violation and against the tree.
import ts from 'typescript';

import {
  CXX_FILE,
  headerLines,
  includesOf,
  maskCxx,
  memberOf,
  moduleNamedBy,
  modulesOf,
  PRODUCT_FILE,
  scripts,
  type Check,
  type Found,
  type SourceFile,
} from './tidy-source.js';

/**
 * Where a file stands. A number: it names only files of a lower number. 'entry': names what its own
 * rules allow and is named by nobody. 'outside': runs before or without the compiled tree.
 */
export type Level = number | 'entry' | 'outside';

/**
 * The one table of levels (ARCHITECTURE.md explains them). A native entry stands for the .h and the
 * .cc of that name; `*` stands for one file name.
 */
export const LEVELS: Readonly<Record<string, Level>> = {
  'native/ascii': 0,
  'native/bounds': 0,
  'native/chance': 0,
  'native/check': 0,
  'native/libev': 0,
  'native/sha1': 0,
  'native/cursor': 1,
  'native/digest': 1,
  'native/queue': 1,
  'native/ref': 1,
  'native/sys': 1,
  'native/token_bucket': 1,
  'native/url_codec': 1,
  'native/utf8': 1,
  'native/address': 2,
  'native/comet_reader': 2,
  'native/deflate_codec': 2,
  'native/frames': 2,
  'native/histogram': 2,
  'native/http_codec': 2,
  'native/http_writer': 2,
  'native/json_codec': 2,
  'native/message': 2,
  'native/newcomers': 2,
  'native/outbox': 2,
  'native/segment': 2,
  'native/slab': 2,
  'native/sse_codec': 2,
  'native/turn_pace': 2,
  'native/websocket_codec': 2,
  'native/admission': 3,
  'native/arrivals': 3,
  'native/channels': 3,
  'native/dial_request': 3,
  'native/http_body': 3,
  'native/inbox': 3,
  'native/lag': 3,
  'native/linger': 3,
  'native/message_codec': 3,
  'native/part_queue': 3,
  'native/slice_gate': 3,
  'native/comet_request': 4,
  'native/http_answer': 4,
  'native/session': 4,
  'native/connection': 5,
  'native/control': 5,
  'native/websocket_wish': 5,
  'native/dialer': 6,
  'native/fanout': 6,
  'native/services': 6,
  'native/mailboxes': 7,
  'native/presence': 7,
  'native/protocol': 7,
  'native/dial_worker': 8,
  'native/drain': 8,
  'native/listening': 8,
  'native/protocol_echo': 8,
  'native/protocol_http': 8,
  'native/protocol_mailbox': 8,
  'native/protocol_poll': 8,
  'native/protocol_sse': 8,
  'native/protocol_stream': 8,
  'native/protocol_websocket': 8,
  'native/sweep': 8,
  'native/transport': 8,
  'native/hub': 9,
  'native/listener': 9,
  'native/hub_sending': 10,
  'native/worker': 10,
  'native/binding': 11,

  'lib/block-pool.ts': 0,
  'lib/chain.ts': 0,
  'lib/errors.ts': 0,
  'lib/flat-json.ts': 0,
  'lib/floors.ts': 0,
  'lib/hash-index.ts': 0,
  'lib/idempotency.ts': 0,
  'lib/name-hash.ts': 0,
  'lib/option-spec.ts': 0,
  'lib/push-metrics.ts': 0,
  'lib/typed-array.ts': 0,
  'lib/bench-result.ts': 1,
  'lib/comet.ts': 1,
  'lib/kernel.ts': 1,
  'lib/logger.ts': 1,
  'lib/message-index.ts': 1,
  'lib/name-log.ts': 1,
  'lib/native.ts': 1,
  'lib/outgoing.ts': 1,
  'lib/plots.ts': 1,
  'lib/serve-options.ts': 1,
  'lib/sizing.ts': 1,
  'lib/slabs.ts': 1,
  'lib/token.ts': 1,
  'lib/tool-options.ts': 1,
  'lib/whole-file.ts': 1,
  'lib/capacity.ts': 2,
  'lib/fast-frames.ts': 2,
  'lib/frames.ts': 2,
  'lib/headroom.ts': 2,
  'lib/history-engine.ts': 2,
  'lib/identity.ts': 2,
  'lib/ingest-parser.ts': 2,
  'lib/listening.ts': 2,
  'lib/machine.ts': 2,
  'lib/messages.ts': 2,
  'lib/options.ts': 2,
  'lib/publishing.ts': 2,
  'lib/registry.ts': 2,
  'lib/report-html.ts': 2,
  'lib/subscription.ts': 2,
  'lib/systemd.ts': 2,
  'lib/client-publishing.ts': 3,
  'lib/config.ts': 3,
  'lib/finding.ts': 3,
  'lib/history.ts': 3,
  'lib/interest.ts': 3,
  'lib/limit-watch.ts': 3,
  'lib/mailboxes.ts': 3,
  'lib/ports.ts': 3,
  'lib/presence.ts': 3,
  'lib/publish-request.ts': 3,
  'lib/questions.ts': 3,
  'lib/report.ts': 3,
  'lib/service.ts': 3,
  'lib/spawn.ts': 3,
  'lib/stats.ts': 3,
  'lib/units.ts': 3,
  'lib/admin-client.ts': 4,
  'lib/broker.ts': 4,
  'lib/checks/*.ts': 4,
  'lib/fleet.ts': 4,
  'lib/manager.ts': 4,
  'lib/metrics.ts': 4,
  'lib/publish-api.ts': 4,
  'lib/server-options.ts': 4,
  'lib/admin.ts': 5,
  'lib/doctor.ts': 5,
  'lib/histograms.ts': 5,
  'lib/ingest.ts': 5,
  'lib/push.ts': 5,
  'lib/server-watch.ts': 5,
  'lib/bench.ts': 6,
  'lib/machine-plan.ts': 6,
  'lib/remedy.ts': 6,
  'lib/server.ts': 6,
  'lib/commands/*.ts': 7,
  'lib/cli.ts': 8,
  'lib/index.ts': 8,
  'lib/worker.cts': 'entry',
  'lib/bin.js': 'outside',
  'lib/check-system.js': 'outside',
};

/** Names that only some files may use, and what everybody else does instead. */
const CONFINED_INCLUDES = [
  {
    pattern: /^(sys\/socket\.h|netinet\/.*|arpa\/.*)$/,
    units: ['native/sys', 'native/address', 'native/listening'],
    instead: 'call a function of sys.h',
  },
  { pattern: /^ev(\+\+)?\.h$/, units: ['native/libev'], instead: 'include "libev.h"' },
  {
    pattern: /^(napi|node_api|js_native_api)\.h$/,
    units: ['native/binding'],
    instead: 'let binding.cc convert',
  },
];
const ADDON_LOADERS = ['lib/native.ts', 'lib/worker.cts'];
const EXIT_CALLERS = ['lib/cli.ts', 'lib/commands/serve.ts', 'lib/worker.cts', 'lib/bin.js'];
const CONSOLE_USERS = /^lib\/(cli\.ts|commands\/[^/]+)$/;

/**
 * Native files that may take memory from the heap: on request, never per idle connection. Transport
 * makes the outbox of a slow peer; its owner is a record of the slab, which has no destructor.
 */
const HEAP_USERS = [
  'native/outbox',
  'native/frames',
  'native/control',
  'native/slab',
  'native/transport',
];

/** Native calls that have a better way here. Matched against code without comments and strings. */
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
  { pattern: /\bv?fork\s*\(/, instead: 'lib/spawn.ts: Node cannot go on after fork' },
  { pattern: /\b(usleep|nanosleep|sleep)\s*\(/, instead: 'an ev_timer: the loop never waits' },
  {
    pattern: /\bnew\b(?!\s*\((?!\s*std::nothrow))|\b(malloc|calloc|realloc|strdup)\s*\(/,
    instead: 'memory of slab or outbox, or a member of a standard container',
    allowed: HEAP_USERS,
  },
  {
    pattern: /\b(throw|try|catch)\b/,
    instead: 'a closed result for what may happen, MC_CHECK for a bug',
  },
];

// ---- Layers

/** The table's entry for a path: itself, its native unit, or a pattern with `*`. */
function entryOf(path: string): string | undefined {
  const unit = path.startsWith('native/') ? path.replace(CXX_FILE, '') : path;
  if (Object.hasOwn(LEVELS, unit)) return unit;
  const pattern = path.replace(/[^/]+(\.\w+)$/, '*$1');
  return Object.hasOwn(LEVELS, pattern) ? pattern : undefined;
}

function judgeName(from: string, to: string): string | undefined {
  const [own, other] = [entryOf(from), entryOf(to)];
  if (own === undefined) return undefined;
  if (other === undefined) return `names ${to}, which is not in LEVELS of test/tidy-rules.ts`;
  if (from.startsWith('native/') && own === other) return undefined;
  const [low, high] = [LEVELS[other], LEVELS[own]];
  if (typeof low === 'string') return `names ${to}, which nobody may name: it is '${low}'`;
  if (typeof high === 'string' && PRODUCT_FILE.test(to) && high === 'entry') {
    return `names ${to}: an entry names packages only; pass what it needs from outside`;
  }
  if (typeof high !== 'number' || low === undefined || low < high) return undefined;
  return `names ${to} of level ${low} from level ${high}: move the shared part below both, or pass it in`;
}

function resolveModule(from: string, specifier: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  const path = parts.join('/');
  if (Object.hasOwn(LEVELS, path)) return path;
  return path
    .replace(/\.cjs$/, '.cts')
    .replace(/\.mjs$/, '.mts')
    .replace(/\.js$/, '.ts');
}

function namesOf(source: SourceFile): Found<string>[] {
  if (source.path.startsWith('native/')) {
    const quoted = includesOf(source).filter((include) => include.isQuoted);
    return quoted.map(({ name, line }) => {
      const value = name.startsWith('native/') ? name : `native/${name}`;
      return { value, line };
    });
  }
  return modulesOf(source)
    .filter(({ value }) => value.startsWith('.'))
    .map(({ value, line }) => ({ value: resolveModule(source.path, value), line }));
}

const isLayered = (path: string): boolean =>
  /^native\/.*\.(h|cc|c)$/.test(path) || /^lib\/.*\.(ts|cts|js)$/.test(path);

/** A file names only files of a lower level. */
export const layers: Check = (files) =>
  files
    .filter(({ path }) => isLayered(path) && LEVELS[entryOf(path) ?? ''] !== 'outside')
    .flatMap((source) =>
      namesOf(source).flatMap(({ value, line }) => {
        const message = judgeName(source.path, value);
        return message ? [{ path: source.path, line, message }] : [];
      }),
    );

/** Every file under native/ and lib/ has a level. */
export const everyFileHasALevel: Check = (files) =>
  files
    .filter(({ path }) => PRODUCT_FILE.test(path) && entryOf(path) === undefined)
    .map(({ path }) => ({
      path,
      line: 1,
      message: 'is not in the table: give it a level in LEVELS of test/tidy-rules.ts',
    }));

/** Where a header says "Level 3", the table says the same. */
export const headersTellTheirLevel: Check = (files) =>
  files.flatMap(({ path, text }) => {
    const level = LEVELS[entryOf(path) ?? ''];
    const told = /\bLevel (\d+)\b/.exec(headerLines(text).join(' '))?.[1];
    if (level === undefined || told === undefined || String(level) === told) return [];
    const message = `says level ${told}, and the table says ${level}: make them agree`;
    return [{ path, line: 1, message }];
  });

/** Every entry of the table stands for a file. */
export const everyLevelHasAFile: Check = (files) => {
  const used = new Set(files.map(({ path }) => entryOf(path)));
  return Object.keys(LEVELS)
    .filter((entry) => !used.has(entry))
    .map((entry) => ({
      path: 'test/tidy-rules.ts',
      line: 1,
      message: `LEVELS names ${entry}, and there is no such file: remove the entry`,
    }));
};

// ---- Who may use what

export const confinedIncludes: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) =>
      includesOf(source).flatMap(({ name, line }) => {
        const rule = CONFINED_INCLUDES.find(({ pattern }) => pattern.test(name));
        if (!rule || rule.units.includes(source.path.replace(CXX_FILE, ''))) return [];
        const owners = rule.units.map((unit) => unit.replace('native/', '')).join(' and ');
        const message = `includes ${name}, which belongs to ${owners}: ${rule.instead}`;
        return [{ path: source.path, line, message }];
      }),
    );

export const addonLoading: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !ADDON_LOADERS.includes(path),
    (node) => {
      const module = moduleNamedBy(node);
      const member = memberOf(node);
      const isLoad =
        module === 'node-gyp-build' ||
        module?.endsWith('.node') === true ||
        (member?.object === 'process' && member.name === 'dlopen');
      return isLoad ? 'loads the addon: import it from native.ts' : undefined;
    },
  );

export const exits: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !EXIT_CALLERS.includes(path),
    (node) => {
      const member = memberOf(node);
      const isExit = member?.object === 'process' && /^(exit|reallyExit|abort)$/.test(member.name);
      const isImport =
        ts.isImportSpecifier(node) &&
        (node.propertyName ?? node.name).text === 'exit' &&
        moduleNamedBy(node.parent.parent.parent) === 'node:process';
      return isExit || isImport
        ? 'ends the process: throw MegacometError, or set process.exitCode in a command'
        : undefined;
    },
  );

export const consoles: Check = (files) =>
  scripts(
    files,
    (path) => path.startsWith('lib/') && !CONSOLE_USERS.test(path),
    (node) =>
      memberOf(node)?.object === 'console'
        ? 'writes to the console: use the logger, or return it to the command'
        : undefined,
  );

export const bannedNative: Check = (files) =>
  files
    .filter(({ path }) => /^native\/.*\.(h|cc|c)$/.test(path))
    .flatMap((source) => {
      const unit = source.path.replace(CXX_FILE, '');
      const rules = BANNED_NATIVE.filter(({ allowed }) => !allowed?.includes(unit));
      const lines = maskCxx(source.text).code.split('\n');
      return lines.flatMap((code, index) => {
        // What an #include names is no call.
        if (/^\s*#\s*include\b/.test(code)) return [];
        return rules.flatMap(({ pattern, instead }) => {
          const match = pattern.exec(code);
          if (!match) return [];
          const message = `uses ${match[0].replace(/\s*\($/, '')}: use ${instead}`;
          return [{ path: source.path, line: index + 1, message }];
        });
      });
    });
