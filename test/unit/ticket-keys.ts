// The keys of session tickets, with a clock of the test.
import { randomBytes } from 'node:crypto';
import t from 'tap';

import { TICKET_KEY_MS, TicketKeys } from '../../lib/tls/ticket-keys.js';
import { ManualClock } from '../support/manual-clock.js';

const KEY_BYTES = 80;
/** Some time in the middle of a period. */
const NOON_MS = 1_800_000_000_000;

interface Server {
  readonly keys: TicketKeys;
  readonly clock: ManualClock;
  /** The frames that the workers got. */
  readonly sent: Buffer[];
}

function start(secret: Buffer | null, epochMs = NOON_MS): Server {
  const clock = new ManualClock();
  const sent: Buffer[] = [];
  const keys = new TicketKeys(secret === null ? null : Buffer.from(secret), {
    clock,
    wallMs: () => epochMs + clock.nowMs(),
    onChange: (frame) => sent.push(frame.keys),
  });
  keys.start();
  return { keys, clock, sent };
}

/** The present key, the one before, and the next. */
function split(keys: Buffer): readonly string[] {
  return [0, 1, 2].map((index) =>
    keys.subarray(index * KEY_BYTES, (index + 1) * KEY_BYTES).toString('hex'),
  );
}

const shown = ({ keys }: Server): readonly string[] => split(keys.frame.keys);

t.test('random keys differ from each other and in every server', (t) => {
  const all = [start(null), start(null)].flatMap(shown);
  t.equal(new Set(all).size, 6);
  t.equal(new Set(all.map((key) => key.slice(0, 32))).size, 6, 'so do their names');
  t.end();
});

t.test('after 12 hours the next key makes tickets, and the present one is the one before', (t) => {
  for (const secret of [null, randomBytes(48)]) {
    const server = start(secret, Math.floor(NOON_MS / TICKET_KEY_MS) * TICKET_KEY_MS);
    const [present, before, next] = shown(server);
    server.clock.advance(TICKET_KEY_MS - 60_000);
    t.equal(server.sent.length, 0, 'not earlier');
    server.clock.advance(60_000);
    t.equal(server.sent.length, 1);
    const [present2, before2, next2] = shown(server);
    t.same([present2, before2], [next, present]);
    t.notOk([present, before, next].includes(next2), 'a new one comes after it');
    t.same(split(server.sent[0] ?? Buffer.alloc(0)), shown(server), 'the workers get them');
    server.clock.advance(TICKET_KEY_MS);
    t.same(shown(server).slice(0, 2), [next2, next], 'the first one is gone');
    t.equal(server.sent.length, 2);
  }
  t.end();
});

t.test('servers with one secret and one time have the same keys, also after a start later', (t) => {
  const secret = randomBytes(32);
  const early = start(secret);
  early.clock.advance(3 * TICKET_KEY_MS);
  const late = start(secret, NOON_MS + 3 * TICKET_KEY_MS);
  t.same(shown(early), shown(late));
  t.not(shown(start(randomBytes(32), NOON_MS))[0], shown(start(secret))[0]);
  t.end();
});

t.test('a server one period behind accepts the tickets of the others, and they accept its', (t) => {
  const secret = randomBytes(32);
  const ahead = shown(start(secret, NOON_MS + TICKET_KEY_MS));
  const behind = shown(start(secret, NOON_MS));
  t.ok(behind.includes(ahead[0] ?? ''));
  t.ok(ahead.includes(behind[0] ?? ''));
  t.end();
});

t.test('a clock that is set back, or a long sleep, replaces the keys', (t) => {
  const random = start(null);
  const old = shown(random);
  random.clock.jump(5 * TICKET_KEY_MS);
  random.clock.advance(60_000);
  t.notOk(
    shown(random).some((key) => old.includes(key)),
    'no random key is so old',
  );
  const secret = randomBytes(32);
  let epochMs = NOON_MS;
  const clock = new ManualClock();
  const keys = new TicketKeys(Buffer.from(secret), {
    clock,
    wallMs: () => epochMs,
    onChange: () => undefined,
  });
  keys.start();
  epochMs -= 4 * TICKET_KEY_MS;
  clock.advance(60_000);
  t.same(split(keys.frame.keys), shown(start(secret, epochMs)));
  t.end();
});

t.test('a changed secret replaces the keys at once, the same one does nothing', (t) => {
  const secret = randomBytes(32);
  const server = start(secret);
  server.keys.setSecret(Buffer.from(secret));
  t.equal(server.sent.length, 0);
  const other = randomBytes(32);
  server.keys.setSecret(Buffer.from(other));
  t.same(split(server.sent[0] ?? Buffer.alloc(0)), shown(start(other)));
  t.end();
});

t.test('close erases the keys and ends the timer', (t) => {
  const server = start(null);
  server.keys.close();
  t.equal(server.clock.pending, 0);
  t.ok(server.keys.frame.keys.every((byte) => byte === 0));
  t.end();
});
