// Programs of other kinds that use the library: single executables, Deno, Bun, Jest and PM2. Where workers
// cannot be started, listen() must reject, and no process may be started.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import t, { type Test as TapTest } from 'tap';

import { freePort, root, until } from '../support/helpers.js';
import { install, installNode, run, temporaryFolder } from '../support/packages/make.js';

/** The test downloads 500 MB of runtimes. */
t.setTimeout(1_200_000);

const { arch } = process;
/** Of Node.js: https://nodejs.org/api/single-executable-applications.html */
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
/** Time in which a program of a few lines ends. One that starts itself is ended by it. */
const PROGRAM_MS = 60_000;

/** The body of the programs; it prints the code and the sentence of the error, or `listening`. */
const BODY = `
  const server = createServer({ port: 0, workers: 1 });
  return server.listen().then(
    () => server.close().then(() => console.log('listening')),
    (error) => console.log(error.code + ': ' + error.message),
  );`;

/** A folder with a program and the package, as npm installs it. */
function application(t: TapTest): string {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'package.json'), '{ "type": "module", "private": true }');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/megacomet-ts'));
  const program = `import { createServer } from 'megacomet-ts';\nconst main = () => {${BODY}\n};\n`;
  writeFileSync(join(folder, 'app.mjs'), `${program}await main();\n`);
  return folder;
}

/** Packages of the test's own, beside the application: npm would remove its link. */
function installed(t: TapTest, packages: readonly string[]): string {
  const folder = temporaryFolder(t);
  install(folder, ['--force', '--ignore-scripts', ...packages]);
  return join(folder, 'node_modules');
}

/** Runs a command to its end; returns its output. */
function outputOf(folder: string, command: readonly string[]): string {
  const [name = '', ...args] = command;
  const { stdout, stderr, error } = spawnSync(
    'setpriv',
    ['--pdeathsig', 'KILL', 'prlimit', '--nproc=4096', name, ...args],
    {
      cwd: folder,
      encoding: 'utf8',
      timeout: PROGRAM_MS,
      killSignal: 'SIGKILL',
    },
  );
  return error === undefined ? stdout + stderr : `${error.message}\n${stdout}${stderr}`;
}

/** Makes a single executable of a Node.js, as its documentation describes. */
function singleExecutable(folder: string, node: string, postject: string): string {
  // Its own require() knows built-in modules only, and an import() needs a module on the disk.
  const module = join(folder, 'load.cjs');
  writeFileSync(module, "module.exports = () => import('megacomet-ts');\n");
  writeFileSync(
    join(folder, 'main.cjs'),
    `const { createRequire } = require('node:module');
     createRequire(${JSON.stringify(module)})('./load.cjs')().then(({ createServer }) => {${BODY}});`,
  );
  const config = { main: 'main.cjs', output: 'app.blob', disableExperimentalSEAWarning: true };
  writeFileSync(join(folder, 'sea.json'), JSON.stringify(config));
  run(node, ['--experimental-sea-config', 'sea.json'], { cwd: folder });
  const file = join(folder, 'application');
  copyFileSync(node, file);
  chmodSync(file, 0o755);
  const args = [postject, file, 'NODE_SEA_BLOB', join(folder, 'app.blob'), '--sentinel-fuse', FUSE];
  run(process.execPath, args);
  return file;
}

t.test('a single executable is rejected, and starts no copy of itself', (t) => {
  const postject = join(installed(t, ['postject@1.0.0-alpha.6']), 'postject/dist/cli.js');
  const folder = application(t);
  // The first has no module node:sea.
  const old = installNode(temporaryFolder(t), '20.6.0', arch);
  for (const node of [old, process.execPath]) {
    const file = singleExecutable(folder, node, postject);
    for (const command of [
      [file],
      ['./application', 'an argument'],
      ['env', 'PATH=.', 'application'],
    ]) {
      t.equal(
        outputOf(folder, command),
        'ERR_RUNTIME: megacomet-ts starts node for its workers, which a single executable is not\n',
        command.join(' '),
      );
    }
  }
  t.end();
});

t.test('Deno and Bun are rejected', (t) => {
  const bunArch = arch === 'arm64' ? 'aarch64' : arch;
  const deno = `@deno/linux-${arch}-glibc`;
  const bun = `@oven/bun-linux-${bunArch}`;
  const modules = installed(t, [deno, bun]);
  const folder = application(t);
  const rows: [string, readonly string[]][] = [
    ['deno', [join(modules, deno, 'deno'), 'run', '--allow-all']],
    ['bun', [join(modules, bun, 'bin/bun')]],
  ];
  for (const [name, command] of rows) {
    const sentence = `megacomet-ts runs on Node.js, not on ${name}\n`;
    t.equal(outputOf(folder, [...command, 'app.mjs']), `ERR_RUNTIME: ${sentence}`, name);
    const bin = join(root, 'lib/bin.js');
    for (const args of [
      ['serve', '--port', '0', '--admin-port', '0'],
      ['bench', '--target', '127.0.0.1:1', '--connections', '1'],
    ]) {
      t.match(
        outputOf(folder, [...command, bin, ...args]),
        sentence,
        `${name}: ${String(args[0])}`,
      );
    }
  }
  t.end();
});

t.test('Jest imports the package, and a test serves', (t) => {
  const modules = installed(t, ['jest@29']);
  const folder = application(t);
  writeFileSync(
    join(folder, 'app.test.js'),
    `import { createServer } from 'megacomet-ts';
     test('serves', async () => {
       const server = createServer({ port: 0, workers: 1 });
       await server.listen();
       expect(server.stats().workers.length).toBe(1);
       await server.close();
     });`,
  );
  const jest = [process.execPath, '--experimental-vm-modules', join(modules, 'jest/bin/jest.js')];
  const output = outputOf(folder, [...jest, '--runInBand']);
  t.match(output, /Tests: +1 passed, 1 total/, 'one test passes');
  t.end();
});

t.test('of two processes of PM2 one serves, and the other names the cause', async (t) => {
  const pm2 = join(installed(t, ['pm2@7']), 'pm2/bin/pm2');
  const folder = application(t);
  const port = await freePort();
  writeFileSync(
    join(folder, 'pm2.mjs'),
    `import { createServer } from 'megacomet-ts';
     const server = createServer({ host: '127.0.0.1', port: ${port}, workers: 1 });
     await server.listen().then(() => console.log('serving'), (error) => console.log(error.message));
     setInterval(() => {}, 1000);`,
  );
  const env = { ...process.env, PM2_HOME: join(folder, '.pm2') };
  const log = join(folder, 'log');
  const command = (...args: string[]): string =>
    run(process.execPath, [pm2, ...args], { cwd: folder, env });
  t.teardown(() => void command('kill'));
  command('start', 'pm2.mjs', '-i', '2', '--output', log, '--error', log, '--merge-logs');
  const lines = await until('both answers', () => {
    const text = existsSync(log) ? readFileSync(log, 'utf8') : '';
    return text.split('\n').length > 2 && text.trim().split('\n').sort();
  });
  t.match(lines, [/: another program listens there; under PM2 start one process/, 'serving']);
});
