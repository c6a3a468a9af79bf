// `megacomet-ts publish`: publishes one message, or each line of standard input.
import { createInterface } from 'node:readline';

import { askAdmin, askJson, rejection, textOf, type AdminRequest } from '../../api/admin-client.js';
import { ByteBuffer } from '../../base/byte-buffer.js';
import { MESSAGE_BYTES_MAX } from '../../base/message-limits.js';
import { readSettings, type Settings } from '../../options/config.js';
import { MegacometError } from '../../base/errors.js';
import { adminAccessOf } from '../admin-access.js';
import { counted, warn, type Output } from '../output.js';

const PATH = '/publish';

/** The fields of a message that are the same for all messages of the command. */
function membersOf(channel: string, settings: Settings): Record<string, unknown> {
  const { id, event, ttl, spread, policy, idempotencyKey } = settings;
  return {
    channel,
    ...(id === undefined ? {} : { id }),
    ...(event === undefined ? {} : { event }),
    ...(ttl === undefined ? {} : { ttlMs: Math.round(Number(ttl) * 1000) }),
    ...(spread === undefined ? {} : { spreadMs: Math.round(Number(spread) * 1000) }),
    ...(policy === undefined ? {} : { policy }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  };
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Without the one line end that `echo` and most editors append. */
function withoutLineEnd(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== LINE_FEED) return bytes;
  return bytes.subarray(0, bytes.at(-2) === CARRIAGE_RETURN ? -2 : -1);
}

/** Standard input as a message: as text if it is UTF-8, else as base64. @throws MegacometError */
async function readInput(isChomped: boolean): Promise<Record<string, string>> {
  const input = new ByteBuffer();
  for await (const chunk of process.stdin) {
    input.add(chunk as Buffer);
    if (input.length <= MESSAGE_BYTES_MAX) continue;
    throw new MegacometError(
      'ERR_MESSAGE_SIZE',
      `publish: standard input is longer than the ${MESSAGE_BYTES_MAX} bytes of a message`,
    );
  }
  const whole = input.take();
  const data = isChomped ? withoutLineEnd(whole) : whole;
  const text = data.toString();
  return Buffer.from(text).equals(data) ? { data: text } : { base64: data.toString('base64') };
}

/** A JSON line for each line of standard input, as soon as it is read. */
async function* linesOf(members: Record<string, unknown>): AsyncIterable<string> {
  const lines = createInterface({ input: process.stdin, crlfDelay: Infinity });
  for await (const data of lines) yield `${JSON.stringify({ ...members, data })}\n`;
}

/** Sends the lines, and reports each line that the server rejects; resolves to the exit code. */
async function publishLines(
  asked: AdminRequest,
  members: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const body = { type: 'application/x-ndjson', chunks: linesOf(members) };
  const answer = await askAdmin({ ...asked, body });
  if (answer.status !== 200) {
    throw await rejection(asked, answer.status, await textOf(asked.admin, answer.body));
  }
  let rest = '';
  let line = 0;
  let rejected = 0;
  for await (const chunk of answer.body) {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      line++;
      const { error } = JSON.parse(part) as { error?: string };
      if (error === undefined) continue;
      rejected++;
      warn(`line ${line}: ${error}`);
    }
  }
  await output.print(`${line - rejected} published, ${rejected} rejected`);
  return rejected === 0 ? 0 : 1;
}

/**
 * Runs the command; resolves to the exit code. Without data, or with `-`, it reads standard input.
 *
 * @throws MegacometError `ERR_UNREACHABLE`, `ERR_REJECTED`, `ERR_MESSAGE_SIZE` or
 *   `ERR_OPTION_INVALID`.
 */
export async function publish(
  [channel = '', data = '-']: readonly string[],
  flags: Record<string, unknown>,
  output: Output,
): Promise<number> {
  const settings = readSettings('publish', { flags, env: process.env });
  const asked = { ...adminAccessOf(settings), path: PATH };
  const members = membersOf(channel, settings);
  if (settings['lines'] === true) {
    if (data === '-') return publishLines(asked, members, output);
    throw new MegacometError(
      'ERR_OPTION_INVALID',
      `--lines: reads standard input, so the argument "${data}" is not allowed`,
    );
  }
  const message = data === '-' ? await readInput(settings['chomp'] === true) : { data };
  const body = { type: 'application/json', chunks: [JSON.stringify({ ...members, ...message })] };
  const receipt = (await askJson({ ...asked, body })) as { cursor: string; delivered: number };
  await output.print(`${receipt.cursor} to ${counted(receipt.delivered, 'subscriber')}`);
  return 0;
}
