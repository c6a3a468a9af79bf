// WebSocket messages of every size: whole, in fragments, in chops, and with every agreement about
// compression, each compared byte by byte with the sent message. It has the range of the groups 9,
// 10, 12 and 13 of the Autobahn test suite, in fewer rounds.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import WebSocket, { type ClientOptions } from 'ws';

import { startComet } from '../support/comet-world.js';
import {
  closeFrame,
  converse,
  fragments,
  frame,
  handshake,
  TEXT,
} from '../support/websocket-peer.js';

const MIB = 1_048_576;
/** The largest value of --message-bytes. */
const MOST = MIB;

/** Text with repeated words and some noise, as JSON of an application has. */
function textOf(length: number): Buffer {
  const line = `{"user":"ada","text":"some words, and more words","n":"${randomBytes(6).toString('hex')}"}`;
  return Buffer.from(line.repeat(Math.ceil(length / line.length) + 1).slice(0, length));
}

async function start(t: Test): Promise<number> {
  const limits = { messageBytes: MOST, sendQueueBytes: MOST, workerSendQueueBytes: 64 * MOST };
  const options = { workers: 1, wsEcho: true, handshakeTimeout: 300, ...limits };
  return (await startComet(t, options)).port;
}

/** A connection that sends messages and returns their echoes. */
class Echo {
  readonly socket: WebSocket;

  constructor(port: number, options: ClientOptions = {}) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/ws-echo`, { maxPayload: 0, ...options });
  }

  /** Whether a message returns as it is, also when it is sent in fragments. */
  async returns(data: Buffer, isBinary: boolean, fragmentBytes = Infinity): Promise<boolean> {
    const answer = once(this.socket, 'message') as Promise<[data: Buffer, isBinary: boolean]>;
    for (let at = 0; at < data.length || at === 0; at += fragmentBytes) {
      const part = data.subarray(at, Math.min(data.length, at + fragmentBytes));
      this.socket.send(part, { binary: isBinary, fin: at + fragmentBytes >= data.length });
    }
    const [echo, isEchoBinary] = await answer;
    return isEchoBinary === isBinary && echo.equals(data);
  }

  async open(): Promise<void> {
    await once(this.socket, 'open');
  }
}

const SIZES = [65_536, 262_144, MOST];

t.test('messages up to the largest return unchanged, whole and in fragments', async (t) => {
  const echo = new Echo(await start(t), { perMessageDeflate: false });
  await echo.open();
  for (const isBinary of [false, true]) {
    for (const size of SIZES) {
      const data = isBinary ? randomBytes(size) : textOf(size);
      t.ok(await echo.returns(data, isBinary), `${size} bytes`);
    }
    // The first are as many fragments as a message may have.
    for (const fragmentBytes of [16, 64, 256, 1024, 4096, 16_384, 65_536, MIB]) {
      const data = isBinary ? randomBytes(MOST) : textOf(MOST);
      t.ok(await echo.returns(data, isBinary, fragmentBytes), `fragments of ${fragmentBytes}`);
    }
    t.ok(await echo.returns(textOf(65_536), isBinary, 1300), 'fragments of 1,300');
  }
  echo.socket.terminate();
});

t.test('messages that arrive in chops return unchanged', async (t) => {
  const port = await start(t);
  const data = textOf(MIB);
  const told = `text ${MIB} of ${data.subarray(-8).toString()}`;
  for (const messages of [
    [frame(TEXT, data)],
    fragments(TEXT, [data.subarray(0, 9), data.subarray(9)]),
  ]) {
    const whole = Buffer.concat([...messages, closeFrame(1000)]);
    for (const chopBytes of [997, 1024, 65_536]) {
      const chops = Array.from({ length: Math.ceil(whole.length / chopBytes) }, (_, at) =>
        whole.subarray(at * chopBytes, (at + 1) * chopBytes),
      );
      const found = await converse(port, [handshake('/ws-echo'), ...chops]);
      t.strictSame(found.told, [told, 'close 1000'], `${messages.length} in ${chopBytes}`);
    }
  }
});

t.test('a thousand messages of each size return one after the other', async (t) => {
  const echo = new Echo(await start(t), { perMessageDeflate: false });
  await echo.open();
  for (const size of [0, 16, 64, 256, 1024, 4096, 16_384]) {
    for (const isBinary of [false, true]) {
      const data = isBinary ? randomBytes(size) : textOf(size);
      let wrong = 0;
      for (let count = 0; count < 1000; count++) if (!(await echo.returns(data, isBinary))) wrong++;
      t.equal(wrong, 0, `${size} bytes`);
    }
  }
  echo.socket.terminate();
});

/** The offers of a client about compression. */
const OFFERS: readonly (readonly [name: string, offer: object])[] = [
  ['nothing else', {}],
  ['client_no_context_takeover', { clientNoContextTakeover: true }],
  [
    'both without context takeover',
    { clientNoContextTakeover: true, serverNoContextTakeover: true },
  ],
  ['a server window of 9', { serverMaxWindowBits: 9 }],
  ['a server window of 15', { serverMaxWindowBits: 15 }],
  ['both windows of 9', { serverMaxWindowBits: 9, clientMaxWindowBits: 9 }],
  ['both windows of 15', { serverMaxWindowBits: 15, clientMaxWindowBits: 15 }],
];

t.test('compressed messages return unchanged under every agreement', async (t) => {
  const port = await start(t);
  for (const [name, offer] of OFFERS) {
    const echo = new Echo(port, { perMessageDeflate: { threshold: 0, ...offer } });
    await echo.open();
    t.match(echo.socket.extensions, 'permessage-deflate', name);
    for (const size of [16, 64, 256, 1024, 4096, 8192, 16_384, 32_768, 65_536, 131_072]) {
      const rounds = Math.min(100, Math.ceil(MIB / size));
      let wrong = 0;
      for (let count = 0; count < rounds; count++) {
        const isBinary = count % 2 === 1;
        const fragmentBytes = count % 3 === 0 ? Math.ceil(size / 4) : Infinity;
        if (!(await echo.returns(textOf(size), isBinary, fragmentBytes))) wrong++;
      }
      t.equal(wrong, 0, `${name}: ${size} bytes`);
    }
    echo.socket.terminate();
  }
});
