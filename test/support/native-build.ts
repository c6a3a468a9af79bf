// Compiles C++ test programs with the flags of binding.gyp, each into its own folder. Only changed
// files are compiled again.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export const root = fileURLToPath(new URL('../..', import.meta.url));

interface Gyp {
  variables: { native_sources: string[] };
  target_defaults: { cflags: string[]; cflags_cc: string[] };
}

/** binding.gyp is JSON with comment lines. */
function readGyp(): Gyp {
  const text = readFileSync(join(root, 'binding.gyp'), 'utf8');
  return JSON.parse(text.replace(/^\s*#.*$/gm, '')) as Gyp;
}

export interface Program {
  compiler: string;
  /** Folder below the root, ignored by git. */
  folder: string;
  name: string;
  /** The program's own files, as paths from the root. */
  sources: readonly string[];
  /**
   * Files of native/ to compile for it; by default all except the N-API layer. With `addon` it links
   * the objects that the addon was built from.
   */
  natives?: readonly string[] | 'addon';
  /** Flags besides those of binding.gyp, for compiling and linking. */
  flags: readonly string[];
}

/**
 * Flags for the Node headers that the addon was built with; they include zlib's. Without a build the
 * system headers are used.
 */
function nodeHeaders(): string[] {
  const path = join(root, 'build/config.gypi');
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8').replace(/^#.*$/gm, '');
  const { variables } = JSON.parse(text) as { variables: { nodedir: string } };
  return ['-isystem', join(variables.nodedir, 'include/node')];
}

const mtimeMs = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function newest(paths: readonly string[]): number {
  return Math.max(0, ...paths.map((path) => mtimeMs(join(root, path))));
}

function filesIn(folder: string, pattern: RegExp): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => pattern.test(name)).map((name) => `${folder}/${name}`);
}

/**
 * The objects of the built addon, without the N-API layer. Throws if they are older than native/:
 * the program would test old code.
 */
function addonObjects(sources: readonly string[]): string[] {
  const folder = join(root, 'build/Release/obj.target/megacomet');
  const objects = sources.map((source) => join(folder, source.replace(/\.cc$/, '.o')));
  const headersAtMs = newest([...filesIn('native', /\.h$/), 'binding.gyp']);
  // make compiles only the files that include a changed header: then one object at least is newer.
  const isOld =
    Math.max(...objects.map(mtimeMs)) < headersAtMs ||
    sources.some((source, at) => mtimeMs(objects[at] ?? '') < newest([source]));
  if (isOld) {
    throw new Error('the addon is older than native/ or missing: run `npm run build:native`');
  }
  return objects;
}

/** Builds a program and returns its path. A failed compile throws with the compiler's output. */
export async function build(program: Program): Promise<string> {
  const gyp = readGyp();
  // A changed header compiles everything again: there are few files.
  const headers = ['native', 'test'].flatMap((folder) => filesIn(folder, /\.h$/));
  const headersAtMs = newest([...headers, 'binding.gyp', 'package.json']);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const flags = [
    ...gyp.target_defaults.cflags,
    ...gyp.target_defaults.cflags_cc,
    `-DMEGACOMET_VERSION="${version}"`,
    ...['-I', join(root, 'native')],
    ...nodeHeaders(),
    ...program.flags,
  ];
  const folder = join(root, program.folder);
  mkdirSync(folder, { recursive: true });
  const command = join(folder, 'command.txt');
  const wanted = [program.compiler, ...flags].join('\n');
  const isSameCommand = mtimeMs(command) > 0 && readFileSync(command, 'utf8') === wanted;
  const objects = new Map<string, string>();
  const all = gyp.variables.native_sources;
  const linked = program.natives === 'addon' ? addonObjects(all) : [];
  const natives = program.natives === 'addon' ? [] : (program.natives ?? all);
  for (const source of [...natives, ...program.sources]) {
    objects.set(source, join(folder, `${source.replaceAll('/', '-')}.o`));
  }
  const stale = [...objects].filter(
    ([source, object]) =>
      !isSameCommand || mtimeMs(object) < Math.max(headersAtMs, newest([source])),
  );
  const compileNext = async (): Promise<void> => {
    for (let next = stale.shift(); next; next = stale.shift()) {
      const [source, object] = next;
      await run(program.compiler, [...flags, '-c', join(root, source), '-o', object]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, compileNext));
  writeFileSync(command, wanted);
  const target = join(folder, program.name);
  const linkables = [...objects.values(), ...linked];
  if (mtimeMs(target) < Math.max(...linkables.map(mtimeMs))) {
    // A program that names its native files needs none that use libev.
    const libraries = Array.isArray(program.natives) ? [] : ['-lev'];
    await run(program.compiler, [...program.flags, ...linkables, ...libraries, ...['-o', target]]);
  }
  return target;
}
