// Feeds the native parsers with inputs of libFuzzer, each for a short time; FUZZ_SECONDS in the
// environment makes it longer. FUZZ_KEEP=1 saves the new inputs, minimised to the same coverage,
// into test/fuzz/, where every later run starts with them.
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { build, root } from '../support/native-build.js';
import { without } from '../support/requirements.js';

interface Target {
  /** The NAME of test/fuzz/fuzz_NAME.cc. */
  name: string;
  /** The code under test, for the name of the test. */
  feeds: string;
  /** Files of native/ that the program needs. */
  natives: readonly string[];
  /** Folder of test/fuzz/ with its seeds; an archive next to it has the inputs of long runs. */
  corpus: string;
}

const TARGETS: readonly Target[] = [
  {
    name: 'channels',
    feeds: 'the channel table',
    natives: ['pubsub/channels'],
    corpus: 'corpus-channels',
  },
  {
    name: 'control',
    feeds: 'the control stream of a worker, cut anywhere',
    natives: ['ipc/frame_codec'],
    corpus: 'corpus-control',
  },
  {
    name: 'frames',
    feeds: 'the decoders of frames and addresses',
    natives: ['base/ip_address', 'os/address', 'ipc/frame_codec'],
    corpus: 'corpus',
  },
  {
    name: 'deflate',
    feeds: 'the negotiation of permessage-deflate, inflating and deflating',
    natives: ['codec/deflate_codec'],
    corpus: 'corpus-deflate',
  },
  {
    name: 'handshake',
    feeds: 'TLS handshakes',
    natives: [
      'os/openssl',
      'tls/certificates',
      'tls/client_context',
      'tls/context',
      'tls/handshake',
      'tls/handshake_context',
      'tls/key_schedule',
      'tls/record',
      'tls/record_layer',
      'tls/ticket_keys',
    ],
    corpus: 'corpus-handshake',
  },
  {
    name: 'http',
    feeds: 'the HTTP parsers and the response writer',
    natives: ['codec/http_codec', 'codec/http_writer', 'codec/url_codec'],
    corpus: 'corpus-http',
  },
  {
    name: 'json',
    feeds: 'the JSON parser and the string writer',
    natives: ['codec/json_reader', 'codec/json_writer', 'codec/utf8'],
    corpus: 'corpus-json',
  },
  {
    name: 'proxy',
    feeds: 'the parsers of PROXY headers, X-Forwarded-For and Forwarded',
    natives: [
      'base/ip_address',
      'codec/forwarded',
      'codec/http_codec',
      'codec/proxy_codec',
      'codec/url_codec',
    ],
    corpus: 'corpus-proxy',
  },
  {
    name: 'signed_url',
    feeds: 'the reader of signed URLs',
    natives: [
      'codec/cursor',
      'codec/http_codec',
      'codec/url_codec',
      'codec/utf8',
      'protocol/comet_request',
      'protocol/signed_request',
      'pubsub/channel_name',
    ],
    corpus: 'corpus-signed-url',
  },
  {
    name: 'sse',
    feeds: 'the writer of Server-Sent Events and the cursor parser',
    natives: ['codec/cursor', 'codec/sse_codec'],
    corpus: 'corpus-sse',
  },
  {
    name: 'text',
    feeds: 'the parsers of UTF-8, base64, numbers and URLs',
    natives: ['codec/digest', 'codec/sha1', 'codec/url_codec', 'codec/utf8'],
    corpus: 'corpus-text',
  },
  {
    name: 'tls',
    feeds: 'the record layer of TLS',
    natives: ['os/openssl', 'tls/key_schedule', 'tls/record', 'tls/record_layer'],
    corpus: 'corpus-tls',
  },
  {
    name: 'websocket',
    feeds: 'the WebSocket frame parser',
    natives: ['codec/utf8', 'codec/websocket_codec'],
    corpus: 'corpus-websocket',
  },
];

const COMPILER = 'clang++-14';
const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 5);
/** Time to compile on a busy machine, and for the runs. */
t.setTimeout((300_000 + SECONDS * 1000) * TARGETS.length);

const skip = without(COMPILER);

interface Run {
  code: number;
  output: string;
}

function fuzz(program: string, args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { maxBuffer: 1 << 26 }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

/** A folder with the seeds, the inputs of long runs, and the inputs of earlier runs here. */
function unpack(seeds: string): string {
  const corpus = join(root, 'build-fuzz', seeds);
  mkdirSync(corpus, { recursive: true });
  cpSync(join(root, 'test/fuzz', seeds), corpus, { recursive: true });
  const found = join(root, 'test/fuzz', `${seeds}.tar.gz`);
  if (existsSync(found)) execFileSync('tar', ['-xzf', found, '-C', corpus]);
  return corpus;
}

/** Packs the fewest files of a corpus with the same coverage. */
async function keep(program: string, seeds: string): Promise<void> {
  const corpus = join(root, 'build-fuzz', seeds);
  const least = `${corpus}-least`;
  rmSync(least, { recursive: true, force: true });
  mkdirSync(least);
  await fuzz(program, ['-merge=1', '-max_len=4096', least, corpus]);
  // The same files give the same archive.
  const plain = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  const found = join(root, 'test/fuzz', `${seeds}.tar.gz`);
  execFileSync('tar', [...plain, '-czf', found, '-C', least, '.']);
}

for (const { name, feeds, natives, corpus: seeds } of TARGETS) {
  t.test(`no input makes ${feeds} fail`, { skip }, async (t) => {
    const program = await build({
      compiler: COMPILER,
      folder: 'build-fuzz',
      name: `fuzz-${name}`,
      sources: [`test/fuzz/fuzz_${name}.cc`],
      natives: natives.map((unit) => `native/${unit}.cc`),
      flags: [
        '-g',
        '-O1',
        '-fno-omit-frame-pointer',
        '-fsanitize=fuzzer,address,undefined',
        '-fno-sanitize-recover=all',
      ],
    });
    const corpus = unpack(seeds);
    const inputs = readdirSync(corpus).length;
    const { code, output } = await fuzz(program, [
      corpus,
      `-max_total_time=${SECONDS}`,
      ...['-max_len=4096', '-rss_limit_mb=1024', '-timeout=10'],
      `-artifact_prefix=${join(root, 'build-fuzz')}/`,
    ]);
    const runs = Number(/Done (\d+) runs/.exec(output)?.[1] ?? 0);
    t.equal(code, 0, 'the fuzzer found nothing');
    // A busy machine may find time for no more than the corpus.
    t.ok(runs >= inputs, `after ${runs} runs with ${inputs} inputs of the corpus`);
    if (!t.passing()) t.comment(output.slice(-20_000));
    else if (process.env['FUZZ_KEEP'] === '1') await keep(program, seeds);
  });
}
