// The runtimes that the package accepts: Node.js from the version of `engines` in package.json on, as a
// program of its own, in its main thread.
import { createRequire } from 'node:module';

import t from 'tap';

import { checkRuntime, reasonAgainst, type Runtime } from '../../lib/ipc/runtime.js';

const { reasonAgainstNode } = createRequire(import.meta.url)('../../lib/node-version.cjs') as {
  reasonAgainstNode: (version?: string) => string | undefined;
};

t.test('Node.js 20.6 is the oldest version', (t) => {
  for (const version of ['20.6.0', '20.10.0', '20.20.2', '22.0.0', '26.1.0', '100.0.0']) {
    t.equal(reasonAgainstNode(version), undefined, version);
  }
  for (const version of ['20.5.1', '20.0.0', '18.20.8', '8.17.0']) {
    t.equal(
      reasonAgainstNode(version),
      `Node.js 20.6 or newer is needed, and this is ${version}`,
      version,
    );
  }
  t.end();
});

const PROGRAM: Runtime = {
  versions: { node: '20.6.0' },
  argv: ['/usr/bin/node', '/app/app.mjs'],
  argv0: 'node',
  isMainThread: true,
  isSea: undefined,
};

t.test('a program that cannot start workers is rejected with its reason', (t) => {
  const node = '20.12.0';
  const rows: [string, Partial<Runtime>, RegExp | undefined][] = [
    ['Node.js without node:sea', {}, undefined],
    ['Node.js with node:sea', { versions: { node }, isSea: false }, undefined],
    ['without a script', { argv: ['/usr/bin/node'] }, undefined],
    ['Node.js that is too old', { versions: { node: '20.5.1' } }, /^Node\.js 20\.6 or newer/],
    ['Bun', { versions: { node, bun: '1.4.5' } }, /not on bun$/],
    ['Deno', { versions: { node, deno: '2.9.6' } }, /not on deno$/],
    ['Electron', { versions: { node, electron: '40.0.0' } }, /not on electron$/],
    ['a single executable', { versions: { node }, isSea: true }, /a single executable is not$/],
    [
      'a single executable before node:sea',
      { argv: ['/app/server', './server'], argv0: './server' },
      /a single executable is not$/,
    ],
    [
      'one that is found in PATH',
      { argv: ['/app/server', 'server', '--port'], argv0: 'server' },
      /a single executable is not$/,
    ],
    ['a thread', { isMainThread: false }, /in the main thread only/],
  ];
  for (const [name, change, wanted] of rows) {
    const reason = reasonAgainst({ ...PROGRAM, ...change });
    if (wanted === undefined) t.equal(reason, undefined, name);
    else t.match(reason, wanted, name);
  }
  t.doesNotThrow(checkRuntime, 'this program');
  t.end();
});
