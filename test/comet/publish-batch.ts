// Batches over HTTP: lines that are cut anywhere, invalid, endless, or followed by a disconnect.
import { readFileSync } from 'node:fs';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import t from 'tap';

import { BatchAnswer } from '../../lib/api/batch-answer.js';
import { readText } from '../../lib/api/request-body.js';
import { closed, until } from '../support/helpers.js';
import {
  MoodyTarget,
  NDJSON,
  post,
  site,
  streamed,
  TOKEN,
  type Site,
} from '../support/publish-site.js';

/** The most bytes that the kernel buffers for one direction of a connection (tcp(7)). */
function socketBytesMax(): number {
  const maximum = (name: string): number =>
    Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').split(/\s+/)[2]);
  return maximum('tcp_rmem') + maximum('tcp_wmem');
}

t.test('a batch is answered line by line, wherever its bytes are cut', async (t) => {
  const target = new MoodyTarget();
  const { ask } = await site(t, { target });
  const channels = Array.from({ length: 300 }, (_, index) =>
    index % 50 === 7 ? 'busy' : `kanal ä${index}`,
  );
  const batch = Buffer.from(
    channels.map((channel) => JSON.stringify({ channel, data: 'x' })).join('\n'),
  );
  for (const size of [3, 64, 1000, 1e6]) {
    target.published.length = 0;
    const pieces = [];
    for (let at = 0; at < batch.length; at += size) pieces.push(batch.subarray(at, at + size));
    const init = { ...streamed(pieces), headers: { 'Content-Type': NDJSON } };
    const { status, lines, headers } = await ask('/publish', init);
    t.equal(status, 200);
    t.equal(headers.get('content-type'), NDJSON);
    t.equal(lines.length, channels.length, `pieces of ${size}`);
    t.same(
      target.published,
      channels.filter((channel) => channel !== 'busy'),
    );
    t.same(lines[7], { status: 429, error: 'worker 3 cannot follow', code: 'ERR_BUSY' });
    t.ok(lines.every((line, index) => 'error' in line === (channels[index] === 'busy')));
  }
});

t.test('an invalid line is rejected alone', async (t) => {
  const { ask, broker, api } = await site(t);
  const good = '{"channel":"a","data":"x"}';
  const batch = Buffer.concat([
    Buffer.from(`${good}\r\n\r\n  \n{"channel":"a"}\nnot json\n`),
    Buffer.from(`{"channel":"a","data":"${'x'.repeat(1001)}"}\n`),
    Buffer.from([0x22, 0xff, 0x22, 0x0a]),
    Buffer.from(good),
  ]);
  const { lines, status } = await ask('/publish', post(batch, `${NDJSON};charset=utf-8`));
  t.equal(status, 200);
  t.match(lines, [
    { cursor: '0000000000000001.1', delivered: 0 },
    { status: 400, error: /either "data" or "base64"/ },
    { status: 400, error: /not valid JSON/ },
    { status: 413, error: /data: 1001 bytes are more than 1000/ },
    { status: 400, error: /not UTF-8/ },
    { cursor: '0000000000000001.2', delivered: 0 },
  ]);
  t.equal(lines.length, 6, 'blank lines have no answer');
  t.equal(broker.counters.messagesPublishedTotal, 2);
  t.match(api.counters, {
    ...{ apiMessagesTotal: 2, apiMessagesRejectedTotal: 4, apiTooLargeTotal: 1 },
  });
  t.equal(
    (await ask('/publish', post('\n \n', NDJSON))).status,
    400,
    'a batch has at least one line',
  );
});

t.test('a batch that is too large, or has a line without end, ends with 413', async (t) => {
  const { ask, broker, api } = await site(t, { batchBytesMax: 500_000 });
  const good = '{"channel":"a","data":"x"}\n';
  const tooLong = await ask('/publish', post(good.repeat(30_000), NDJSON));
  t.equal(tooLong.status, 413, 'rejected at once by its length');
  t.equal(broker.counters.messagesPublishedTotal, 0);
  const chunked = streamed(Array.from({ length: 300 }, () => good.repeat(100)));
  const late = await ask('/publish', { ...chunked, headers: { 'Content-Type': NDJSON } });
  t.equal(late.status, 200, 'rejected only later');
  t.match(late.lines.at(-1), { status: 413 });
  t.equal(
    broker.counters.messagesPublishedTotal,
    late.lines.length - 1,
    'every answered line was published',
  );
  const endless = streamed(Array.from({ length: 30 }, () => 'x'.repeat(10_000)));
  const line = await ask('/publish', { ...endless, headers: { 'Content-Type': NDJSON } });
  t.match(line, { status: 413, lines: [{ error: /a line/ }] });
  t.equal(api.counters.apiTooLargeTotal, 3);
});

t.test('a client that disconnects during a batch does no harm', async (t) => {
  const { open, broker, ask, port, failures } = await site(t);
  const head = (type: string): string =>
    `POST /publish HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${TOKEN}\r\n` +
    `Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const good = '{"channel":"a","data":"x"}\n';
  for (const type of ['application/json', NDJSON]) {
    const socket = await open();
    socket.write(head(type) + chunk(good.slice(0, 10)));
    await new Promise((resolve) => setTimeout(resolve, 30));
    socket.resetAndDestroy();
  }
  const deaf = await open();
  deaf.pause();
  deaf.write(head(NDJSON));
  const before = broker.counters.messagesPublishedTotal;
  // Twice as many as those whose answers the kernel can buffer; an answer has more than 50 bytes.
  const chunks = Math.ceil((2 * socketBytesMax()) / 50 / 1000);
  for (let index = 0; index < chunks; index++) deaf.write(chunk(good.repeat(1000)));
  await until(
    'the batch to be published',
    () => broker.counters.messagesPublishedTotal > before + 1000,
  );
  let published = -1;
  while (published !== broker.counters.messagesPublishedTotal) {
    published = broker.counters.messagesPublishedTotal;
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
  t.ok(
    published < chunks * 1000,
    `${published} lines: the server stops reading a client that reads no answers`,
  );
  deaf.resetAndDestroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.same(failures, []);
  t.equal((await ask('/publish', post(good))).status, 200);
});

t.test('other requests go first between the slices of a batch', async (t) => {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const answer = new BatchAnswer(response, { type: NDJSON });
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const lines = Array.from({ length: 20_000 }, () => null);
  await answer.add(lines, () => {
    const endsAtMs = performance.now() + 0.02;
    while (performance.now() < endsAtMs);
    return Promise.resolve('{}');
  });
  isOver = true;
  t.ok(turns > 20, `${turns} iterations of the loop in 0.4 s`);
});

const LINES = 200_000;
const LINE = '{"channel":"a","data":"x"}\n';

/** Sends a whole batch, and begins to read when the last byte is sent and `mayRead` is fulfilled. */
async function sendThenRead({ open }: Site, mayRead?: () => Promise<unknown>): Promise<string> {
  const socket = await open();
  socket.pause();
  const body = LINE.repeat(LINES);
  const head =
    `POST /publish HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\n` +
    `Content-Type: ${NDJSON}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  await new Promise<void>((resolve) => {
    socket.write(head + body, () => {
      resolve();
    });
  });
  await mayRead?.();
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  socket.resume();
  await closed(socket);
  return text;
}

t.test('a client that reads only after it has sent a batch receives every answer', async (t) => {
  const here = await site(t);
  const text = await sendThenRead(here);
  t.equal(text.match(/"delivered":0/g)?.length, LINES);
  t.equal(here.api.counters.apiMessagesTotal, LINES);
});

t.test('a batch whose answers are not read ends, and the last answer says so', async (t) => {
  const here = await site(t, { unreadBytesMax: 262_144, silenceMs: 1000 });
  // The kernel may take the whole body before the server has read a line.
  const text = await sendThenRead(here, () =>
    until('the last answer', () => here.responses[0]?.writableEnded),
  );
  const answered = text.match(/"delivered":0/g)?.length ?? 0;
  t.ok(answered > 0 && answered < LINES, `${answered} answers`);
  t.equal(here.api.counters.apiMessagesTotal, answered, 'every published line has its answer');
  const last = text.slice(text.lastIndexOf('{'));
  t.match(last, /^\{"status":408,"error":"the answers are not read; this line and those after it/);
});

t.test('a body that is not complete in time is rejected, with any input meanwhile', async (t) => {
  const request = new IncomingMessage(new Socket());
  const reading = readText(request, 1000, 100);
  const timer = setInterval(() => request.push('x'), 10);
  await t.rejects(reading, { status: 408, message: 'the body is not complete after 0.1 s' });
  clearInterval(timer);
});
