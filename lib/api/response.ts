// Whole responses of the admin server: JSON, and the rejection of a request.
import type { IncomingMessage, ServerResponse } from 'node:http';

import { JSON_TYPE } from './endpoints.js';
import { discard, isRestShort, type Rejection } from './request-body.js';

/** The bytes of a text. Clients that do not read share those of one rendering. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(`${text}\n`);
}

/** Writes a whole response of one text, and leaves its end to the caller. */
function write(
  response: ServerResponse,
  status: number,
  text: Buffer | string,
  type: string = JSON_TYPE,
): void {
  const bytes = typeof text === 'string' ? bytesOf(text) : text;
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.length });
  response.write(bytes);
}

/** A whole response of one text. */
export function respond(...args: Parameters<typeof write>): void {
  write(...args);
  args[0].end();
}

/** Answers a request with an error, and ignores the rest of its body. */
export function reject(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: Rejection,
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (request.complete) {
    respond(response, status, body);
    return;
  }
  // Some clients send the next request behind a body that is not read to its end.
  const closes = response.hasHeader('Connection') || !isRestShort(request);
  if (closes) response.setHeader('Connection', 'close');
  write(response, status, body);
  // Node closes after the end, and the reset would destroy the answer before the client reads it.
  if (closes) request.once('end', () => response.end());
  else response.end();
  discard(request);
}
