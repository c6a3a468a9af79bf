// Clients that break the rules of TLS after their handshake (RFC 8446 5 and 6), or use all of them.
import t, { type Test } from 'tap';

import { Authority, filesOf } from '../../bench/certificates.js';
import { TestServer, until } from '../support/helpers.js';
import {
  alert,
  ALERT,
  CHANGE_CIPHER_SPEC,
  DATA,
  HANDSHAKE,
  header,
  keyUpdate,
  SUITE_NAMES,
  TlsPeer,
} from '../support/tls-records.js';

const AUTHORITY = new Authority();
const KEY_UPDATES_MAX = 32;
const EMPTY_RECORDS_MAX = 32;
const RECORD_BYTES = 16_384;
const LONG = 'x'.repeat(RECORD_BYTES);

/** An echo server with TLS and one worker. */
function startEcho(t: Test): Promise<TestServer> {
  const args = [...filesOf(t.testdir({}), AUTHORITY.certify()), '--workers', '1'];
  return TestServer.start(t, { args });
}

type Row = readonly [
  what: string,
  bytes: (peer: TlsPeer) => Buffer,
  /** The alert of the server; '' if it ends without one. */
  wanted: string,
];

const UNEXPECTED = 'unexpected_message';

/** A sealed record with its outer header changed. */
function withHeader(peer: TlsPeer, type: number, version = 0x0303): Buffer {
  const record = peer.seal(DATA, 'x');
  header(type, record.length - 5, version).copy(record);
  return record;
}

function withBit(record: Buffer, at: number): Buffer {
  record.writeUInt8(record.readUInt8(at) ^ 1, at);
  return record;
}

function repeat(count: number, make: () => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, make));
}

const HEADERS: readonly Row[] = [
  ...[CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, 0, 24, 0x80, 0x47].map((type): Row => [
    `outer type ${type}`,
    (peer) => withHeader(peer, type),
    UNEXPECTED,
  ]),
  ...[0x0000, 0x0301, 0x0304, 0x0403].map((version): Row => [
    `version ${version}`,
    (peer) => withHeader(peer, DATA, version),
    UNEXPECTED,
  ]),
  ['change_cipher_spec as it is', () => Buffer.from('140303000101', 'hex'), UNEXPECTED],
  ['an alert in plain text', () => Buffer.from('15030300020100', 'hex'), UNEXPECTED],
  ['a second ClientHello', () => Buffer.from('160301000401000000', 'hex'), UNEXPECTED],
  ['a request in plain text', () => Buffer.from('GET / HTTP/1.1\r\n\r\n'), UNEXPECTED],
  ['a length of 16,641', () => header(DATA, RECORD_BYTES + 257), 'record_overflow'],
  ['a length of 65,535', () => header(DATA, 65_535), 'record_overflow'],
  ['a record without a body', () => header(DATA, 0), 'bad_record_mac'],
  ['a tag alone', () => Buffer.concat([header(DATA, 16), Buffer.alloc(16)]), 'bad_record_mac'],
];

const BODIES: readonly Row[] = [
  ['a changed bit of the tag', (peer) => withBit(peer.seal(DATA, 'x'), 22), 'bad_record_mac'],
  ['a changed bit of the content', (peer) => withBit(peer.seal(DATA, 'x'), 5), 'bad_record_mac'],
  [
    'a record twice',
    (peer) => {
      const record = peer.seal(DATA, 'x');
      return Buffer.concat([record, record]);
    },
    'bad_record_mac',
  ],
  [
    'records in the wrong order',
    (peer) => {
      const [first, second] = [peer.seal(DATA, 'x'), peer.seal(DATA, 'y')];
      return Buffer.concat([second, first]);
    },
    'bad_record_mac',
  ],
  [
    'a record left out',
    (peer) => {
      peer.seal(DATA, 'x');
      return peer.seal(DATA, 'y');
    },
    'bad_record_mac',
  ],
  ['zeros and no type', (peer) => peer.write.seal(Buffer.alloc(100)), UNEXPECTED],
  ['nothing within', (peer) => peer.write.seal(Buffer.alloc(0)), 'bad_record_mac'],
  ['a content of 16,385', (peer) => peer.seal(DATA, Buffer.alloc(16_385, 1)), 'record_overflow'],
  ['a padding too many', (peer) => peer.seal(DATA, Buffer.alloc(16_384), 1), 'record_overflow'],
  ...[1, CHANGE_CIPHER_SPEC, 24, 255].map((type): Row => [
    `inner type ${type}`,
    (peer) => peer.seal(type, 'x'),
    UNEXPECTED,
  ]),
  ['empty records', (peer) => repeat(EMPTY_RECORDS_MAX, () => peer.seal(DATA)), UNEXPECTED],
];

const MESSAGES: readonly Row[] = [
  ...[0, 1, 2, 4, 5, 8, 11, 13, 15, 20, 25, 254].map((type): Row => {
    const message = Buffer.from([type, 0, 0, 0]);
    return [`handshake message ${type}`, (peer) => peer.seal(HANDSHAKE, message), UNEXPECTED];
  }),
  ['an empty handshake record', (peer) => peer.seal(HANDSHAKE), UNEXPECTED],
  ['KeyUpdate with 2', (peer) => peer.seal(HANDSHAKE, keyUpdate(2)), 'illegal_parameter'],
  ['KeyUpdate with 255', (peer) => peer.seal(HANDSHAKE, keyUpdate(255)), 'illegal_parameter'],
  ...['1800000000', '180000020000', '18ffffff00'].map((hex): Row => [
    `KeyUpdate ${hex}`,
    (peer) => peer.seal(HANDSHAKE, Buffer.from(hex, 'hex')),
    'decode_error',
  ]),
  [
    'two KeyUpdates in one record',
    (peer) => peer.seal(HANDSHAKE, Buffer.concat([keyUpdate(0), keyUpdate(0)])),
    UNEXPECTED,
  ],
  [
    'data within a KeyUpdate',
    (peer) => {
      const half = peer.seal(HANDSHAKE, keyUpdate(0).subarray(0, 3));
      return Buffer.concat([half, peer.seal(DATA, 'x')]);
    },
    UNEXPECTED,
  ],
  [
    'an alert within a KeyUpdate',
    (peer) => {
      const half = peer.seal(HANDSHAKE, keyUpdate(0).subarray(0, 4));
      return Buffer.concat([half, peer.seal(ALERT, alert(0))]);
    },
    UNEXPECTED,
  ],
  [
    'data with the old key after a KeyUpdate',
    (peer) => Buffer.concat([peer.seal(HANDSHAKE, keyUpdate(0)), peer.seal(DATA, 'x')]),
    'bad_record_mac',
  ],
  [
    // Twice, because the minute may change in between.
    'KeyUpdates without end',
    (peer) => repeat(2 * KEY_UPDATES_MAX + 1, () => peer.sealUpdate(0)),
    UNEXPECTED,
  ],
];

const ALERTS: readonly Row[] = [
  ...[1, 10, 20, 40, 80, 200, 255].map((code): Row => [
    `alert ${code}`,
    (peer) => peer.seal(ALERT, alert(code)),
    '',
  ]),
  ['a warning of 100', (peer) => peer.seal(ALERT, alert(100, 1)), ''],
  ['half an alert', (peer) => peer.seal(ALERT, Buffer.from([2])), 'decode_error'],
  ['two alerts', (peer) => peer.seal(ALERT, Buffer.from('02500250', 'hex')), 'decode_error'],
  ['an empty alert', (peer) => peer.seal(ALERT), 'decode_error'],
];

/** The faults of the server with a row; data before the fault of the client is echoed. */
async function faultsOf(t: Test, port: number, [what, bytes, wanted]: Row): Promise<string[]> {
  const peer = await TlsPeer.open(t, port);
  peer.say(peer.seal(DATA, 'hello'));
  await until('the echo', () => peer.data === 'hello');
  peer.say(bytes(peer));
  await peer.ended();
  const said = peer.told.filter((word) => word.startsWith('alert ')).join();
  // A connection that the peer's alert ended has no reader of a close_notify.
  const isRight =
    said === `alert ${wanted}` || (wanted === '' && /^(alert close_notify)?$/.test(said));
  return isRight ? [] : [`${what}: ${peer.told.join()}`];
}

async function tryRows(t: Test, port: number, rows: readonly Row[]): Promise<void> {
  const faults: string[] = [];
  for (let at = 0; at < rows.length; at += 16) {
    const some = rows.slice(at, at + 16).map((row) => faultsOf(t, port, row));
    faults.push(...(await Promise.all(some)).flat());
  }
  t.strictSame(faults, []);
}

t.test('a client that breaks a rule of TLS gets its alert, and others go on', async (t) => {
  const server = await startEcho(t);
  const witness = await TlsPeer.open(t, server.port);
  const rows = [...HEADERS, ...BODIES, ...MESSAGES];
  await tryRows(t, server.port, rows);
  await tryRows(t, server.port, ALERTS);
  const broken = [...rows, ...ALERTS].filter(([, , wanted]) => wanted !== '').length;
  await server.untilTotal('tlsRecordsRejectedTotal', broken);
  witness.say(witness.seal(DATA, 'still here'));
  await until('the echo', () => witness.data === 'still here');
  await server.untilTotal('connections', 1);
  await server.stop();
  await witness.ended();
  t.equal(witness.told.at(-1), 'alert close_notify', 'a drain ends it in order');
});

/** The peer's records so far are in order: all of `text` is echoed. */
async function hears(peer: TlsPeer, text: string): Promise<void> {
  await until(`an echo of ${text.length} bytes`, () => peer.data.length >= text.length);
}

/** Conduct that is allowed: the bytes, and the words that the server answers. */
type FineRow = readonly [what: string, bytes: (peer: TlsPeer) => Buffer, wanted: readonly string[]];

const FINE: readonly FineRow[] = [
  ['padding', (peer) => peer.seal(DATA, 'a', 300), ['data a']],
  ['padding to the limit', (peer) => peer.seal(DATA, 'a', RECORD_BYTES - 1), ['data a']],
  [
    'padding alone',
    (peer) => Buffer.concat([peer.seal(DATA, '', 9), peer.seal(DATA, 'a')]),
    ['data a'],
  ],
  [
    'empty records below the limit, twice',
    (peer) => {
      const some = (): Buffer => repeat(EMPTY_RECORDS_MAX - 1, () => peer.seal(DATA));
      return Buffer.concat([some(), peer.seal(DATA, 'a'), some(), peer.seal(DATA, 'b')]);
    },
    ['data ab'],
  ],
  [
    'records together',
    (peer) => Buffer.concat([peer.seal(DATA, 'a'), peer.seal(DATA, 'b')]),
    ['data ab'],
  ],
  ['a KeyUpdate', (peer) => Buffer.concat([peer.sealUpdate(0), peer.seal(DATA, 'a')]), ['data a']],
  [
    'a KeyUpdate that requests one',
    (peer) => Buffer.concat([peer.sealUpdate(1), peer.seal(DATA, 'a')]),
    ['KeyUpdate 0', 'data a'],
  ],
  [
    'requests before any data are answered once',
    (peer) => Buffer.concat([peer.sealUpdate(1), peer.sealUpdate(1), peer.seal(DATA, 'a')]),
    ['KeyUpdate 0', 'data a'],
  ],
  [
    'a KeyUpdate byte by byte',
    (peer) => {
      const parts = Array.from(keyUpdate(1), (byte) => peer.seal(HANDSHAKE, Buffer.from([byte])));
      peer.write.advance();
      return Buffer.concat([...parts, peer.seal(DATA, 'a')]);
    },
    ['KeyUpdate 0', 'data a'],
  ],
  [
    'as many KeyUpdates as are allowed',
    (peer) =>
      Buffer.concat([repeat(KEY_UPDATES_MAX, () => peer.sealUpdate(0)), peer.seal(DATA, 'a')]),
    ['data a'],
  ],
  [
    'user_canceled and data',
    (peer) => Buffer.concat([peer.seal(ALERT, alert(90, 1)), peer.seal(DATA, 'a')]),
    ['data a'],
  ],
];

/** The words of the server to a row and its close_notify, sent in one segment or byte by byte. */
async function answerTo(
  peer: TlsPeer,
  [what, bytes, wanted]: FineRow,
  way: 'whole' | 'dribbled',
): Promise<string[]> {
  const all = bytes(peer);
  if (way === 'whole') peer.say(all);
  else await peer.dribble(all);
  const letters = wanted.at(-1)?.length ?? 0;
  await until(`the echo of ${what}`, () => peer.data.length >= letters - 'data '.length);
  peer.say(peer.seal(ALERT, alert(0)), peer.seal(DATA, 'after the end'));
  await peer.ended();
  // Data that arrives in two segments is echoed in two records.
  const told = peer.told.join('|').replaceAll(/(data \w+)\|data /g, '$1');
  return told === [...wanted, 'alert close_notify'].join('|') ? [] : [`${what}, ${way}: ${told}`];
}

t.test('padding, empty records, cuts and KeyUpdates are understood with each suite', async (t) => {
  const server = await startEcho(t);
  for (const suite of SUITE_NAMES) {
    const faults = FINE.flatMap((row) =>
      (['whole', 'dribbled'] as const).map(async (way) =>
        answerTo(await TlsPeer.open(t, server.port, { ciphers: suite }), row, way),
      ),
    );
    t.strictSame((await Promise.all(faults)).flat(), [], suite);
  }
  await server.stop();
});

t.test('output that waited is sealed with the key of the time when it is sent', async (t) => {
  const server = await startEcho(t);
  const peer = await TlsPeer.open(t, server.port);
  peer.pause();
  let rounds = 0;
  await until('the server to wait', async () => {
    for (let record = 0; record < 16; record++) peer.say(peer.seal(DATA, LONG));
    if (rounds++ < KEY_UPDATES_MAX) peer.say(peer.sealUpdate(1));
    return (await server.total('sendQueueConnections')) === 1;
  });
  peer.resume();
  const text = LONG.repeat(16 * rounds);
  await hears(peer, text);
  t.ok(peer.data === text, `${text.length} bytes are the same`);
  t.ok(Math.max(...peer.sizes) <= RECORD_BYTES + 17, 'no record is longer than allowed');
  t.ok(peer.told.includes('KeyUpdate 0'), 'the request is answered');
  await server.stop();
});

t.test('a FIN without close_notify counts as leaving, wherever it cuts', async (t) => {
  const server = await startEcho(t);
  const cuts: readonly ((peer: TlsPeer) => Buffer)[] = [
    () => Buffer.alloc(0),
    () => header(DATA, 100),
    () => Buffer.from([DATA]),
    (peer) => peer.seal(DATA, 'cut').subarray(0, -1),
    (peer) => peer.seal(HANDSHAKE, keyUpdate(0).subarray(0, 3)),
  ];
  for (const bytes of cuts) {
    const peer = await TlsPeer.open(t, server.port);
    peer.say(peer.seal(DATA, 'before'));
    await hears(peer, 'before');
    peer.say(bytes(peer));
    peer.finish();
    await peer.ended();
    t.strictSame(peer.told, ['data before', 'alert close_notify']);
  }
  await server.untilTotal('closedPeerTotal', cuts.length);
  t.equal(await server.total('tlsRecordsRejectedTotal'), 0);
  t.equal(await server.total('sessions'), 0);
  await server.stop();
});
