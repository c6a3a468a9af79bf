// The buffer for bytes that arrive in parts: its content, and the memory of incomplete input.
import fc from 'fast-check';
import t from 'tap';

import { IngestParser } from '../../lib/api/ingest-parser.js';
import { Lines } from '../../lib/api/request-body.js';
import { ByteBuffer } from '../../lib/base/byte-buffer.js';

t.test('the bytes are those of all parts, and later parts do not change them', (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 400 }), { maxLength: 30 }), (parts) => {
      const buffer = new ByteBuffer();
      for (const part of parts) buffer.add(Buffer.from(part));
      const wanted = Buffer.concat(parts);
      if (buffer.length !== wanted.length) return false;
      const taken = buffer.take();
      buffer.add(Buffer.alloc(500, 7));
      return taken.equals(wanted) && buffer.length === 500;
    }),
    { seed: 20_261_129 },
  );
  t.equal(new ByteBuffer().take().length, 0);
  t.end();
});

t.test('parts of one byte take at most twice their bytes', (t) => {
  const buffer = new ByteBuffer();
  for (let index = 0; index < 60_000; index++) buffer.add(Buffer.of(index & 0xff));
  t.ok(buffer.memoryBytes <= 120_000, `${buffer.memoryBytes} bytes`);
  t.ok(buffer.take().buffer.byteLength <= 1.2 * 60_000, 'the taken bytes have little slack');
  t.equal(buffer.memoryBytes, 0, 'and the buffer has none');
  t.end();
});

const BYTES = 200_000;

t.test('an incomplete command of ingest, and an incomplete line, keep no part', (t) => {
  const chunks = Array.from({ length: BYTES }, () => Buffer.from('x'));
  const parser = new IngestParser({ idBytesMax: 20, messageBytesMax: 2 * BYTES });
  parser.feed(Buffer.from('\u0002id\0'));
  t.equal(parser.next(), null);
  const lines = new Lines(2 * BYTES);
  for (const chunk of chunks) {
    parser.feed(chunk);
    parser.next();
    lines.push(chunk);
  }
  for (const { memoryBytes } of [parser, lines]) {
    t.ok(memoryBytes >= BYTES && memoryBytes <= 2 * BYTES + 256, `${memoryBytes} bytes`);
  }
  t.same(lines.end(), ['x'.repeat(BYTES)]);
  t.end();
});
