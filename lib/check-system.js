// `npm run build` runs this script before node-gyp. If this machine lacks something that the addon
// needs, it prints one sentence that names the Debian package, and exits 1. Otherwise it prints
// nothing. It is plain JavaScript, because it runs before anything is compiled.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { reasonAgainstNode } from './node-version.cjs';

const PROBE =
  '#include <ev.h>\n#include <cstdint>\nint main() { return ev_version_major() < 4; }\n';
const PROBE_WITHOUT_LIBEV = '#include <cstdint>\nint main() { return 0; }\n';

/** The parts that can be missing: the words for the sentence, and the package with the part. */
const MISSING = {
  python: { what: 'python3', apt: 'python3' },
  make: { what: 'make', apt: 'make' },
  compiler: { what: 'a C++ compiler', apt: 'g++' },
  header: { what: "libev's header ev.h", apt: 'libev-dev' },
  library: { what: "libev's library", apt: 'libev-dev' },
};

/** Runs a line in a shell, as make does, so that CXX="ccache g++" and CXXFLAGS mean the same. */
function runs(line) {
  return spawnSync('/bin/sh', ['-c', line], { stdio: 'ignore' }).status === 0;
}

/** Returns 'compiler', 'header' or 'library' if that is missing; undefined if libev links. */
function missingForLibev(compiler) {
  const folder = mkdtempSync(join(tmpdir(), 'megacomet-check-'));
  const compiles = (name, text) => {
    writeFileSync(join(folder, `${name}.cc`), text);
    return runs(
      `cd '${folder}' && ${compiler} $CPPFLAGS $CXXFLAGS -std=c++17 -c ${name}.cc -o ${name}.o`,
    );
  };
  try {
    if (!compiles('probe', PROBE)) {
      return compiles('without', PROBE_WITHOUT_LIBEV) ? 'header' : 'compiler';
    }
    const links = runs(
      `cd '${folder}' && ${compiler} $CXXFLAGS $LDFLAGS probe.o -o probe $LDLIBS -lev`,
    );
    return links ? undefined : 'library';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Lists the missing parts, in the order in which a reader would install them. */
function missingParts() {
  const missing = [];
  const pythons = [process.env.npm_config_python, process.env.PYTHON, 'python3'];
  if (!pythons.some((python) => python && spawnSync(python, ['-c', '']).status === 0)) {
    missing.push(MISSING.python);
  }
  if (!runs(`${process.env.MAKE || 'make'} --version`)) {
    missing.push(MISSING.make);
  }
  const compiler = process.env.CXX || 'g++';
  if (!runs(`${compiler} --version`)) {
    missing.push(
      process.env.CXX
        ? { ...MISSING.compiler, what: `the C++ compiler named by CXX (${compiler})` }
        : MISSING.compiler,
    );
    // Without a compiler, look for the header in Debian's folder, so that one sentence names all.
    if (!existsSync('/usr/include/ev.h')) missing.push(MISSING.header);
    return missing;
  }
  const part = missingForLibev(compiler);
  if (part) missing.push(MISSING[part]);
  return missing;
}

/** Runs all checks. Returns the reason why the addon cannot be built here, or undefined. */
function reasonAgainst() {
  if (process.platform !== 'linux') {
    return `it runs on Linux only, and this is ${process.platform}`;
  }
  const node = reasonAgainstNode();
  if (node !== undefined) return node;
  const missing = missingParts();
  if (missing.length === 0) return undefined;
  const names = new Intl.ListFormat('en').format(missing.map((part) => part.what));
  const packages = [...new Set(missing.map((part) => part.apt))].join(' ');
  const [verb, pronoun] = missing.length > 1 ? ['are', 'them'] : ['is', 'it'];
  return `${names} ${verb} missing; install ${pronoun} with: apt-get install -y ${packages}`;
}

const reason = reasonAgainst();
if (reason) {
  process.stderr.write(`megacomet-ts: cannot build: ${reason}\n`);
  process.exitCode = 1;
}
