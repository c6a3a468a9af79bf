// The manager's codec with every frame of both lists, in any pieces and with any errors. It also
// checks that the generated files are current.
import { spawnSync } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import t from 'tap';

import { FRAME_BYTES_MAX, FRAME_FINGERPRINTS } from '../../lib/base/native-constants.js';
import { checkFingerprint } from '../../lib/system/native.js';
import { FrameDecoder, type FrameReaders } from '../../lib/ipc/frame-codec.js';
import { encodeFrame, WORKER_FRAMES } from '../../lib/ipc/frame-codecs.js';
import {
  PUBLISH_CHANNEL_AT,
  publishBytesMax,
  REPLAY_PAGE_HEAD_BYTES,
  writePublish,
  writeReplayPageHead,
} from '../../lib/ipc/frame-writers.js';
import { LOAD_FRAMES } from '../../lib/ipc/load-frame-codecs.js';
import { readFrames, type FrameLayout } from '../../packaging/frame-lists.mjs';
import { root } from '../support/helpers.js';

const SEED = 20_261_101;
const RUNS = 300;
/** As for test/fuzz/fuzz.slow.ts: seconds of random bytes for the decoder, with other seeds then. */
const FUZZ_SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0);
const HARMLESS: fc.Parameters<unknown> =
  FUZZ_SECONDS === 0
    ? { seed: SEED, numRuns: RUNS * 3 }
    : {
        numRuns: 2 ** 31 - 1,
        plugins: [fc.interruptAfterTimeLimit((FUZZ_SECONDS * 1000) / 6)],
      };

interface AnyFrame {
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A list of frames, from the schema and from the generated code. */
interface List {
  readonly title: string;
  readonly layouts: readonly FrameLayout[];
  readonly readers: FrameReaders<Record<string, object>>;
  readonly encode: (name: string, fields: object) => Buffer;
}

const LISTS: readonly List[] = [
  {
    title: 'frames.h',
    layouts: readFrames('frames.h', 'MC_FRAMES').frames,
    readers: WORKER_FRAMES.readers,
    encode: WORKER_FRAMES.encode as unknown as List['encode'],
  },
  {
    title: 'load_frames.h',
    layouts: readFrames('load_frames.h', 'MC_LOAD_FRAMES').frames,
    readers: LOAD_FRAMES.readers,
    encode: LOAD_FRAMES.encode as unknown as List['encode'],
  },
];

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
/** The integers that a number of JavaScript can hold. */
const u53 = fc.bigInt({ min: 0n, max: 2n ** 53n - 1n });
/** Fields of the publish path: these u64 fields are numbers in the broker. */
const U53_FIELDS = ['Publish.number', 'ReplayPage.head'];
const kinds: Record<string, fc.Arbitrary<unknown>> = {
  u8: fc.nat(255),
  u32: fc.nat(2 ** 32 - 1),
  u64,
  text: fc.string({ unit: 'grapheme', maxLength: 200 }),
  blob: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  numbers: fc.array(fc.maxSafeNat(), { maxLength: 50 }),
  texts: fc.array(fc.string({ unit: 'grapheme', maxLength: 50 }), { maxLength: 20 }),
};

function fieldsOf({ name, fields }: FrameLayout): fc.Arbitrary<Record<string, unknown>> {
  const entries = fields.map(({ key, type }) => [
    key,
    U53_FIELDS.includes(`${name}.${key}`) ? u53 : kinds[type],
  ]);
  return fc.record(Object.fromEntries(entries) as typeof kinds, { noNullPrototype: true });
}

/** Any frame of a list, with any fields. */
const anyFrame = ({ layouts }: List): fc.Arbitrary<AnyFrame> =>
  fc.oneof(
    ...layouts.map((layout) =>
      fc.record(
        { name: fc.constant(layout.name), fields: fieldsOf(layout) },
        { noNullPrototype: true },
      ),
    ),
  );

const u32Bytes = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const withLength = (length: number, body: Buffer): Buffer =>
  Buffer.concat([u32Bytes(length), body]);

/** The bytes of a field, straight from the description in frame_codec.h. */
function fieldBytes(type: string, value: unknown): Buffer {
  const u16 = (number: number): Buffer => Buffer.of(number & 0xff, number >> 8);
  switch (type) {
    case 'u8':
      return Buffer.of(value as number);
    case 'u32':
      return u32Bytes(value as number);
    case 'u64': {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value as number));
      return bytes;
    }
    case 'text': {
      const bytes = Buffer.from(value as string);
      return Buffer.concat([u16(bytes.length), bytes]);
    }
    case 'blob': {
      const bytes = Buffer.from(value as Buffer);
      return Buffer.concat([u32Bytes(bytes.length), bytes]);
    }
    case 'numbers': {
      const numbers = value as readonly number[];
      return Buffer.concat([
        u32Bytes(numbers.length),
        ...numbers.map((one) => fieldBytes('u64', one)),
      ]);
    }
    default: {
      const texts = value as readonly string[];
      return Buffer.concat([u16(texts.length), ...texts.map((one) => fieldBytes('text', one))]);
    }
  }
}

/** A frame as the schema describes it, written field by field. */
function referenceBytes(
  list: List,
  name: string,
  fields: Readonly<Record<string, unknown>>,
): Buffer {
  const layout = list.layouts.find((one) => one.name === name);
  if (layout === undefined) throw new Error(`no frame ${name}`);
  const parts = layout.fields.map(({ key, type }) => fieldBytes(type, fields[key]));
  const body = Buffer.concat([Buffer.of(layout.type), ...parts]);
  return withLength(body.length, body);
}

const WORKER_LIST = LISTS[0] as List;

/** Feeds bytes in pieces that end at the given offsets. */
function decodeInPieces(list: List, bytes: Buffer, cuts: readonly number[]): AnyFrame[] {
  const decoder = new FrameDecoder(list.readers);
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  ends.sort((a, b) => a - b);
  let start = 0;
  return ends.flatMap((end) => {
    const piece = Buffer.from(bytes.subarray(start, end));
    start = end;
    return decoder.push(piece) as unknown as AnyFrame[];
  });
}

/** The frames of a stream in these pieces, or null for a RangeError. Other errors are thrown. */
function outcome(list: List, bytes: Buffer, cuts: readonly number[]): AnyFrame[] | null {
  try {
    return decodeInPieces(list, bytes, cuts);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** True if the result is frames or RangeError, and in pieces the same as at once. */
function isHarmless(list: List, bytes: Buffer, cuts: readonly number[]): boolean {
  return isDeepStrictEqual(outcome(list, bytes, cuts), outcome(list, bytes, []));
}

t.test('the generated files are current', (t) => {
  const args = ['packaging/generate-frames.mjs', '--check'];
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  t.equal(status, 0, stderr);
  t.end();
});

t.test('an addon with other lists of frames is rejected with the command that builds it', (t) => {
  const expected = FRAME_FINGERPRINTS['frames.h'];
  checkFingerprint('frames.h', expected);
  t.throws(
    () => {
      checkFingerprint('frames.h', expected + 1);
    },
    { code: 'ERR_ADDON_MISSING', message: /native\/ipc\/frames\.h; build it with: npm --prefix/ },
  );
  t.end();
});

t.test('each type and each name is used once in both lists', (t) => {
  const layouts = LISTS.flatMap((list) => list.layouts);
  t.equal(new Set(layouts.map(({ type }) => type)).size, layouts.length, 'types');
  t.equal(new Set(layouts.map(({ name }) => name)).size, layouts.length, 'names');
  for (const { name, doc, fields } of layouts) {
    t.ok(doc.length > 0 && fields.length > 0, `${name} has a description and fields`);
    for (const { type } of fields) t.ok(type in kinds, `a known field type: ${type}`);
  }
  t.end();
});

for (const list of LISTS) {
  t.test(`${list.title}: every frame has the bytes of the schema`, (t) => {
    const names = new Set<string>();
    fc.assert(
      fc.property(anyFrame(list), ({ name, fields }) => {
        names.add(name);
        return list.encode(name, fields).equals(referenceBytes(list, name, fields));
      }),
      { seed: SEED, numRuns: RUNS * 3 },
    );
    t.equal(names.size, list.layouts.length, 'the test covers every frame');
    t.end();
  });

  t.test(
    `${list.title}: a decoded frame equals the encoded one, for any pieces of the stream`,
    (t) => {
      fc.assert(
        fc.property(
          fc.array(anyFrame(list), { minLength: 1, maxLength: 5 }),
          fc.array(fc.nat(5000), { maxLength: 8 }),
          (frames, cuts) => {
            const bytes = frames.map(({ name, fields }) => list.encode(name, fields));
            return isDeepStrictEqual(decodeInPieces(list, Buffer.concat(bytes), cuts), frames);
          },
        ),
        { seed: SEED, numRuns: RUNS },
      );
      t.pass('the same frames');
      t.end();
    },
  );
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 130 }),
  fc.string({ unit: 'grapheme', maxLength: 30 }),
);
const number = fc.oneof(fc.nat(1000), fc.maxSafeNat(), fc.constantFrom(2 ** 32 - 1, 2 ** 32));

t.test('a Publish frame is written at any offset, within the size that was reserved', (t) => {
  const data = fc.oneof(
    text,
    fc.uint8Array({ maxLength: 300 }),
    fc.nat(9000).map((length) => 'ä1'.repeat(length)),
    fc.nat(9000).map((length) => '日'.repeat(length)),
  );
  fc.assert(
    fc.property(
      fc.record({ number, flags: fc.nat(255), spreadMs: fc.nat(2 ** 32 - 1) }),
      fc.tuple(text, text, text),
      data,
      fc.nat(20),
      (head, [channel, id, event], body, at) => {
        const size = publishBytesMax(channel, id, event, body);
        const target = Buffer.alloc(at + size + 1, 0xee);
        const { flags, spreadMs } = head;
        const end = writePublish(
          target,
          at,
          head.number,
          flags,
          spreadMs,
          channel,
          id,
          event,
          body,
        );
        const fields = { ...head, channel, id, event, data: Buffer.from(body as string) };
        return (
          end <= at + size &&
          target.subarray(at, end).equals(referenceBytes(WORKER_LIST, 'Publish', fields)) &&
          target.readUInt16LE(at + PUBLISH_CHANNEL_AT) === Buffer.byteLength(channel) &&
          target.subarray(0, at).every((byte) => byte === 0xee) &&
          target[at + size] === 0xee
        );
      },
    ),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('the bytes of the schema');
  t.end();
});

t.test('the head of a ReplayPage is written before its messages', (t) => {
  fc.assert(
    fc.property(
      fc.record({ fd: fc.nat(2 ** 32 - 1), generation: fc.nat(2 ** 32 - 1) }),
      fc.nat(255),
      number,
      fc.uint8Array({ maxLength: 300 }),
      ({ fd, generation }, flags, head, bytes) => {
        const messages = Buffer.from(bytes);
        const target = Buffer.concat([Buffer.alloc(3 + REPLAY_PAGE_HEAD_BYTES), messages]);
        const end = writeReplayPageHead(target, 3, fd, generation, flags, head, messages.length);
        const fields = { fd, generation, flags, head, messages };
        return (
          end === 3 + REPLAY_PAGE_HEAD_BYTES &&
          target.subarray(3).equals(referenceBytes(WORKER_LIST, 'ReplayPage', fields))
        );
      },
    ),
    { seed: SEED, numRuns: 1000 },
  );
  t.pass('the bytes of the schema');
  t.end();
});

t.test('a text or a list that is too long for its length field is a RangeError', (t) => {
  const long = 'x'.repeat(65_536);
  t.throws(() => encodeFrame('Kick', { channel: long, reason: '' }), RangeError);
  t.doesNotThrow(() => encodeFrame('Kick', { channel: long.slice(1), reason: '' }));
  const dial = { parent: 1, connections: 1, rateMilli: 0, connectTimeoutS: 1, sources: [] };
  const targets = Array.from({ length: 65_536 }, () => '');
  t.throws(() => LOAD_FRAMES.encode('Dial', { ...dial, targets }), RangeError);
  t.doesNotThrow(() => LOAD_FRAMES.encode('Dial', { ...dial, targets: targets.slice(1) }));
  t.end();
});

t.test('a number that is too large for its field is a RangeError', (t) => {
  const log = { level: 255, message: '', error: 2 ** 32 - 1, suppressed: 0 };
  t.doesNotThrow(() => encodeFrame('Log', log));
  for (const value of [-1, 256, 2 ** 32, NaN]) {
    t.throws(() => encodeFrame('Log', { ...log, level: value }), RangeError, `level ${value}`);
  }
  for (const value of [-1, 2 ** 32, Infinity, NaN]) {
    t.throws(() => encodeFrame('Log', { ...log, error: value }), {
      name: 'RangeError',
      message: `error: ${value} is not between 0 and 4294967295`,
    });
  }
  const page = { fd: 1, generation: 1, flags: 0, messages: Buffer.alloc(0) };
  t.doesNotThrow(() => encodeFrame('ReplayPage', { ...page, head: 2n ** 53n - 1n }));
  for (const head of [-1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 64n]) {
    t.throws(() => encodeFrame('ReplayPage', { ...page, head }), RangeError, `head ${head}`);
  }
  const ready = { version: '', descriptors: 0, connectionsMax: 0 };
  t.doesNotThrow(() => encodeFrame('Ready', { ...ready, layout: 2n ** 64n - 1n }));
  for (const layout of [-1n, 2n ** 64n]) {
    t.throws(() => encodeFrame('Ready', { ...ready, layout }), RangeError, `layout ${layout}`);
  }
  const limits = {
    connectionsMax: 1,
    idleTimeoutS: 1,
    acceptRateMilli: 0,
  };
  const configure = { parent: 1, slots: 1, protocol: 'echo', listenerFlags: [], ...limits };
  for (const value of [-1, 0.5, 2 ** 53]) {
    const listeners = [0, value];
    t.throws(() => encodeFrame('Configure', { ...configure, listeners }), RangeError, `${value}`);
  }
  t.end();
});

t.test('a stream that is cut byte by byte gives each frame once, at its last byte', (t) => {
  const bytes = encodeFrame('Log', { level: 1, message: 'äöü', error: 11, suppressed: 2 });
  const decoder = new FrameDecoder(WORKER_FRAMES.readers);
  for (const [index, byte] of bytes.entries()) {
    const frames = decoder.push(Buffer.of(byte));
    t.equal(frames.length, index === bytes.length - 1 ? 1 : 0);
  }
  t.end();
});

t.test('an impossible length, type or body is a RangeError', (t) => {
  const ready = encodeFrame('CapacityChange', { connections: 5 });
  const broken: [string, Buffer][] = [
    ['a length of 0', withLength(0, Buffer.alloc(0))],
    ['a length above the limit', withLength(FRAME_BYTES_MAX + 1, Buffer.alloc(1))],
    ['the longest possible length', withLength(2 ** 32 - 1, Buffer.alloc(1))],
    ['an unknown type', withLength(1, Buffer.of(255))],
    ['a type of the load generator', withLength(5, Buffer.of(49, 0, 0, 0, 0))],
    ['a body that is too short', withLength(ready.length - 5, ready.subarray(4, -1))],
    [
      'a body that is too long',
      withLength(ready.length - 3, Buffer.concat([ready.subarray(4), Buffer.of(0)])),
    ],
    ['a text longer than its frame', withLength(3, Buffer.of(16, 255, 255))],
    ['a list longer than its frame', withLength(9, Buffer.of(24, 0, 0, 0, 0, 0, 0, 0, 0))],
  ];
  for (const [name, bytes] of broken) {
    t.throws(() => new FrameDecoder(WORKER_FRAMES.readers).push(bytes), RangeError, name);
  }
  const list = withLength(5, Buffer.of(49, 255, 255, 255, 255));
  t.throws(() => new FrameDecoder(LOAD_FRAMES.readers).push(list), RangeError, 'a false count');
  const longest = withLength(FRAME_BYTES_MAX, Buffer.alloc(9));
  t.same(new FrameDecoder(WORKER_FRAMES.readers).push(longest), []);
  t.end();
});

t.setTimeout((180 + FUZZ_SECONDS) * 1000);

for (const list of LISTS) {
  t.test(
    `${list.title}: random bytes and changed frames give frames or a RangeError, for any pieces`,
    (t) => {
      const cuts = fc.array(fc.nat(5000), { maxLength: 8 });
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (bytes, at) =>
          isHarmless(list, Buffer.from(bytes), at),
        ),
        HARMLESS,
      );
      // Valid lengths and types, so that bodies are decoded.
      const types = list.layouts.map(({ type }) => type);
      const body = fc.uint8Array({ maxLength: 60 });
      const framed = fc.tuple(fc.constantFrom(...types), body).map(([type, bytes]) => {
        const head = Buffer.of(0, 0, 0, 0, type);
        head.writeUInt32LE(bytes.length + 1);
        return Buffer.concat([head, bytes]);
      });
      fc.assert(
        fc.property(fc.array(framed, { maxLength: 5 }), cuts, (frames, at) =>
          isHarmless(list, Buffer.concat(frames), at),
        ),
        HARMLESS,
      );
      const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
      const frames = fc.array(anyFrame(list), { minLength: 1, maxLength: 3 });
      fc.assert(
        fc.property(frames, changes, cuts, (frames, changes, at) => {
          const bytes = Buffer.concat(frames.map(({ name, fields }) => list.encode(name, fields)));
          for (const [index, byte] of changes) bytes[index % bytes.length] = byte;
          return isHarmless(list, bytes, at);
        }),
        HARMLESS,
      );
      t.pass('frames or RangeError, and the same in pieces as at once');
      t.end();
    },
  );
}
