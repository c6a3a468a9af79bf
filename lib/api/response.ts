// Whole responses of the admin server: JSON, and the rejection of a request.
import type { IncomingMessage, ServerResponse } from 'node:http';

import { JSON_TYPE } from './endpoints.js';
import { discard, type Rejection } from './request-body.js';

/** The bytes of a text. Clients that do not read share those of one rendering. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(`${text}\n`);
}

/** A whole response of one text. */
export function respond(
  response: ServerResponse,
  status: number,
  text: Buffer | string,
  type: string = JSON_TYPE,
): void {
  const bytes = typeof text === 'string' ? bytesOf(text) : text;
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': bytes.length });
  response.end(bytes);
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
  // Not closed at once: the reset would destroy the answer before the client reads it.
  if (!request.complete) discard(request);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  respond(response, status, body);
}
