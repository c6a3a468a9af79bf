// The WebSocket limits on the time for a message and on the rate of pings: a client that only keeps
// the server busy is closed with a reason, and a well-behaved client never notices them.
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { Program } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { BINARY, frame, LivePeer, PING, PONG, TEXT } from '../support/websocket-peer.js';

const STEP_MS = 100;
const TIMEOUT_S = 2;
const TIMEOUT_MS = TIMEOUT_S * 1000;
const HEARTBEAT_S = 5;
/** The deadline clock ticks every second, and each connection is checked at every other tick. */
const LATEST_MS = TIMEOUT_MS + 4000;

const unfinished = { isFinal: false };
const part = frame(0, 'x', unfinished);

/** Unfinished messages: the first bytes, and the bytes of every following tenth of a second. */
const HALVES: readonly (readonly [what: string, first: Buffer, next: Buffer | null])[] = [
  ['half a header', Buffer.of(0x81), null],
  ['half a frame', frame(TEXT, 'half', { length: 1000n }), null],
  ['half a frame, byte by byte', frame(BINARY, 'half', { length: 1000n }), Buffer.from('x')],
  ['the first part', frame(TEXT, 'half', unfinished), null],
  ['one part after the other', frame(TEXT, 'half', unfinished), part],
  ['pings in between', frame(TEXT, 'half', unfinished), frame(PING, 'p')],
  ['pongs in between', frame(TEXT, 'half', unfinished), frame(PONG, 'p')],
  ['half a ping', frame(PING, 'p'.repeat(100)).subarray(0, 50), null],
];

t.test('an unfinished message has a deadline, whatever else its client sends', async (t) => {
  // A client cannot answer a ping in the middle of a frame: the first heartbeat comes later.
  const args = [
    '--workers',
    '1',
    '--ws-echo',
    '--handshake-timeout',
    String(TIMEOUT_S),
    '--heartbeat',
    String(HEARTBEAT_S),
  ];
  const program = await Program.start(t, { args });
  const open = (): Promise<LivePeer> => LivePeer.open(t, program.port, '/ws-echo');
  const idle = await open();
  const beganMs = performance.now();
  await Promise.all(
    HALVES.map(async ([what, first, next]) => {
      const peer = await open();
      const startMs = performance.now();
      peer.say(first);
      await until(`${what}: to be closed`, async () => {
        await sleep(STEP_MS);
        if (next !== null) peer.say(next);
        return peer.isEnded;
      });
      const tookMs = performance.now() - startMs;
      t.ok(tookMs >= TIMEOUT_MS, `${what}: closed after ${tookMs} ms`);
      t.strictSame([peer.told.at(-1), peer.isEnded], ['close 1008', true], what);
      t.match(peer.reason, /message not complete in time/, what);
    }),
  );
  await program.untilTotal('closedMessageTimeoutTotal', HALVES.length);
  t.equal(await program.server.total('inputBudgetBytes'), 0);
  await until('two heartbeats', () => performance.now() - beganMs > 2000 * HEARTBEAT_S + 2000);
  t.notOk(idle.isEnded, 'an idle client stays connected');
  t.equal(await program.server.total('connections'), 1);
  await program.server.stop();
});

/** A cut within the last frame. */
const cutAt = (whole: Buffer): number => whole.length - 3;

t.test('messages that are cut anywhere arrive complete, again and again', async (t) => {
  const args = ['--workers', '1', '--ws-echo', '--handshake-timeout', String(TIMEOUT_S)];
  const program = await Program.start(t, { args });
  const cut: readonly (readonly [word: string, whole: Buffer])[] = [
    ['text whole', frame(TEXT, 'whole')],
    ['text xx', Buffer.concat([frame(TEXT, 'x', unfinished), frame(0, 'x')])],
    ['pong p', frame(PING, 'p')],
  ];
  const peers = await Promise.all(
    cut.map(async ([word, whole]) => {
      const peer = await LivePeer.open(t, program.port, '/ws-echo');
      return { peer, word, whole };
    }),
  );
  // There is always an unfinished message, but never the same one for long.
  for (const { peer, whole } of peers) peer.say(whole.subarray(0, cutAt(whole)));
  const rounds = (2 * LATEST_MS) / (5 * STEP_MS);
  for (let round = 0; round < rounds; round++) {
    await sleep(5 * STEP_MS);
    for (const { peer, whole } of peers) {
      const at = cutAt(whole);
      peer.say(Buffer.concat([whole.subarray(at), whole.subarray(0, at)]));
    }
  }
  for (const { peer, word } of peers) {
    await until('every answer', () => peer.told.length >= rounds);
    t.strictSame(peer.told, Array<string>(rounds).fill(word), word);
    t.notOk(peer.isEnded);
    peer.close();
  }
  await program.untilTotal('sessions', 0);
  t.equal(await program.server.total('closedMessageTimeoutTotal'), 0);
  await program.server.stop();
});
