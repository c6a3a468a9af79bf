// Makes a folder for PATH with every command of this machine except the optional tools of the
// tests: a run with it shows how a test without its guard would fail on a fresh machine.
//   node test/support/hide-tools.mjs FOLDER     the folder is made; FOLDER is printed
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const PACKAGES = JSON.parse(
  readFileSync(new URL('./optional-tools.json', import.meta.url), 'utf8'),
);

/** Names of the programs in a folder; none if the folder cannot be read. */
function programsIn(folder) {
  try {
    return readdirSync(folder).filter((name) => {
      const entry = statSync(join(folder, name), { throwIfNoEntry: false });
      return entry?.isFile() === true && (entry.mode & 0o111) !== 0;
    });
  } catch {
    return [];
  }
}

const target = resolve(process.argv[2] ?? '');
mkdirSync(target, { recursive: true });
const linked = new Set();
for (const folder of (process.env.PATH ?? '').split(delimiter).filter(Boolean)) {
  for (const name of programsIn(folder)) {
    if (linked.has(name) || Object.hasOwn(PACKAGES, name)) continue;
    linked.add(name);
    symlinkSync(join(folder, name), join(target, name));
  }
}
process.stdout.write(`${target}\n`);
