// The manager's codec: every frame, cut anywhere, broken in every way.
import { isDeepStrictEqual } from 'node:util';

import fc from 'fast-check';
import t from 'tap';

import { encodeFrame, FrameDecoder, type Frame, type FrameName } from '../../lib/ipc/frames.js';
import { addon, type FrameInfo } from '../../lib/system/native.js';

const SEED = 20_261_101;
const RUNS = 300;
/** As for test/fuzz/fuzz.slow.ts: how long random bytes go into the decoder, from other seeds then. */
const FUZZ_SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0);
const HARMLESS: fc.Parameters<unknown> =
  FUZZ_SECONDS === 0
    ? { seed: SEED, numRuns: RUNS * 3 }
    : {
        numRuns: 2 ** 31 - 1,
        plugins: [fc.interruptAfterTimeLimit((FUZZ_SECONDS * 1000) / 3)],
      };

const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const kinds: Record<string, fc.Arbitrary<unknown>> = {
  u8: fc.nat(255),
  u32: fc.nat(2 ** 32 - 1),
  u64,
  text: fc.string({ unit: 'grapheme', maxLength: 200 }),
  blob: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  numbers: fc.array(fc.maxSafeNat(), { maxLength: 50 }),
  texts: fc.array(fc.string({ unit: 'grapheme', maxLength: 50 }), { maxLength: 20 }),
};

function keyOf(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function fieldsOf(info: FrameInfo): fc.Arbitrary<unknown> {
  const fields = info.fields.map(({ name, type }) => [keyOf(name), kinds[type]]);
  return fc.record(Object.fromEntries(fields) as typeof kinds, { noNullPrototype: true });
}

/** Any frame that the addon knows, with any fields. */
const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  ...addon.frames.map((info) =>
    fc.record(
      { name: fc.constant(info.name as FrameName), fields: fieldsOf(info) },
      { noNullPrototype: true },
    ),
  ),
) as unknown as fc.Arbitrary<Frame>;

function encode(frame: Frame): Buffer {
  return encodeFrame(frame.name, frame.fields);
}

/** Hands over bytes in pieces that end at the given places. */
function decodeInPieces(bytes: Buffer, cuts: readonly number[]): Frame[] {
  const decoder = new FrameDecoder();
  const ends = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])];
  ends.sort((a, b) => a - b);
  let start = 0;
  return ends.flatMap((end) => {
    const piece = Buffer.from(bytes.subarray(start, end));
    start = end;
    return decoder.push(piece);
  });
}

/** What a stream gives in these pieces: frames, or null for a RangeError; nothing else may come. */
function outcome(bytes: Buffer, cuts: readonly number[]): Frame[] | null {
  try {
    return decodeInPieces(bytes, cuts);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** True if it gives frames or RangeError, and in pieces the same as at once. */
function isHarmless(bytes: Buffer, cuts: readonly number[]): boolean {
  return isDeepStrictEqual(outcome(bytes, cuts), outcome(bytes, []));
}

void t.test('the codec knows exactly the frames of the addon', (t) => {
  t.equal(new Set(addon.frames.map(({ type }) => type)).size, addon.frames.length);
  for (const { fields } of addon.frames) {
    for (const { type } of fields) t.ok(type in kinds, `a field type that it knows: ${type}`);
  }
  t.end();
});

void t.test('every frame comes back as it was, however the stream is cut', (t) => {
  const names = new Set<string>();
  fc.assert(
    fc.property(
      fc.array(anyFrame, { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(5000), { maxLength: 8 }),
      (frames, cuts) => {
        for (const { name } of frames) names.add(name);
        const found = decodeInPieces(Buffer.concat(frames.map(encode)), cuts);
        return isDeepStrictEqual(found, frames);
      },
    ),
    { seed: SEED, numRuns: RUNS },
  );
  t.equal(names.size, addon.frames.length, 'every kind was tried');
  t.end();
});

void t.test('a stream that is cut byte by byte gives each frame once, at its last byte', (t) => {
  const bytes = encodeFrame('Log', { level: 1, message: 'äöü', error: 11, suppressed: 2 });
  const decoder = new FrameDecoder();
  for (const [index, byte] of bytes.entries()) {
    const frames = decoder.push(Buffer.of(byte));
    t.equal(frames.length, index === bytes.length - 1 ? 1 : 0);
  }
  t.end();
});

void t.test('a length, a type or a body that cannot be is a RangeError', (t) => {
  const ready = encodeFrame('NearCapacity', { connections: 5 });
  const withLength = (length: number, body: Buffer): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(length);
    return Buffer.concat([head, body]);
  };
  const broken: [string, Buffer][] = [
    ['no length at all', withLength(0, Buffer.alloc(0))],
    ['a length above the limit', withLength(addon.bounds.frameBytesMax + 1, Buffer.alloc(1))],
    ['the longest length there is', withLength(2 ** 32 - 1, Buffer.alloc(1))],
    ['an unknown type', withLength(1, Buffer.of(255))],
    ['a body that is too short', withLength(ready.length - 5, ready.subarray(4, -1))],
    [
      'a body that is too long',
      withLength(ready.length - 3, Buffer.concat([ready.subarray(4), Buffer.of(0)])),
    ],
    ['a text longer than its frame', withLength(3, Buffer.of(16, 255, 255))],
    ['a list longer than its frame', withLength(5, Buffer.of(49, 255, 255, 255, 255))],
  ];
  for (const [name, bytes] of broken)
    t.throws(() => new FrameDecoder().push(bytes), RangeError, name);
  t.same(new FrameDecoder().push(withLength(addon.bounds.frameBytesMax, Buffer.alloc(9))), []);
  t.end();
});

t.setTimeout((180 + FUZZ_SECONDS) * 1000);

void t.test('random bytes, and frames with bytes changed, do no harm in any cuts', (t) => {
  const cuts = fc.array(fc.nat(5000), { maxLength: 8 });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (bytes, at) =>
      isHarmless(Buffer.from(bytes), at),
    ),
    HARMLESS,
  );
  // Lengths and types that can be, so that bodies are looked at.
  const types = addon.frames.map(({ type }) => type);
  const body = fc.uint8Array({ maxLength: 60 });
  const framed = fc.tuple(fc.constantFrom(...types), body).map(([type, bytes]) => {
    const head = Buffer.of(0, 0, 0, 0, type);
    head.writeUInt32LE(bytes.length + 1);
    return Buffer.concat([head, bytes]);
  });
  fc.assert(
    fc.property(fc.array(framed, { maxLength: 5 }), cuts, (frames, at) =>
      isHarmless(Buffer.concat(frames), at),
    ),
    HARMLESS,
  );
  const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  const frames = fc.array(anyFrame, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(frames, changes, cuts, (frames, changes, at) => {
      const bytes = Buffer.concat(frames.map(encode));
      for (const [place, byte] of changes) bytes[place % bytes.length] = byte;
      return isHarmless(bytes, at);
    }),
    HARMLESS,
  );
  t.pass('frames or RangeError, and the same in pieces as at once');
  t.end();
});
