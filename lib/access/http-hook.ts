// The hook for applications in any language: each hook request is a JSON POST with a signature, and
// the answer a JSON object. A redirect is not followed: it would send credentials elsewhere.
import { createHmac } from 'node:crypto';
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

import type { Authorize, AuthorizeAnswer } from '../base/authorize.js';
import { reasonOf } from '../base/reason.js';
import { boundedBody } from './bounded-body.js';
import { HookFault } from './hook-fault.js';

const ANSWER_BYTES_MAX = 64 * 1024;

export interface HttpHookSettings {
  readonly url: URL;
  readonly secret: Buffer;
  /** Hook requests at the same time, each on a connection of its own. */
  readonly inFlightMax: number;
}

/** The hexadecimal HMAC-SHA256 of `TIMESTAMP.BODY`. */
export function signatureOf(secret: Buffer, timestamp: number, body: string): string {
  return createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
}

function parse(text: string): AuthorizeAnswer {
  try {
    return JSON.parse(text) as AuthorizeAnswer;
  } catch {
    throw new HookFault('answer', 'the answer is not JSON');
  }
}

/** Reads a bounded answer of status 200. */
async function readAnswerOf(response: IncomingMessage): Promise<AuthorizeAnswer> {
  const { statusCode = 0 } = response;
  if (statusCode !== 200) {
    response.destroy();
    throw new HookFault('status', `the answer has status ${statusCode}; 200 is required`);
  }
  const tooLarge = (message: string): Error => new HookFault('answer', message);
  return parse(await boundedBody(response, ANSWER_BYTES_MAX, tooLarge));
}

/** A connection that the application closed while it was idle: nothing was answered on it. */
class ClosedIdle extends Error {}

export class HttpHook {
  readonly #url: URL;
  #secret: Buffer;
  readonly #agent: HttpAgent;
  readonly #request: typeof httpRequest;

  constructor(settings: HttpHookSettings) {
    this.#url = settings.url;
    this.#secret = settings.secret;
    const isTls = settings.url.protocol === 'https:';
    const options = { keepAlive: true, maxSockets: settings.inFlightMax };
    this.#agent = isTls ? new HttpsAgent(options) : new HttpAgent(options);
    this.#request = isTls ? httpsRequest : httpRequest;
  }

  /** Signs with another secret from now on. */
  setSecret(secret: Buffer): void {
    this.#secret = secret;
  }

  /** Ends the idle connections. */
  close(): void {
    this.#agent.destroy();
  }

  readonly authorize: Authorize = async (request, { signal }) => {
    const body = JSON.stringify(request);
    try {
      return await this.#post(body, signal);
    } catch (error) {
      if (!(error instanceof ClosedIdle)) throw error;
      return await this.#post(body, signal).catch((again: unknown) => {
        throw again instanceof ClosedIdle ? new HookFault('connection', again.message) : again;
      });
    }
  };

  async #post(body: string, signal: AbortSignal): Promise<AuthorizeAnswer> {
    const timestamp = Math.floor(Date.now() / 1000);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = this.#request(this.#url, {
        method: 'POST',
        agent: this.#agent,
        signal,
        headers: {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
          Accept: 'application/json',
          'Megacomet-Timestamp': timestamp,
          'Megacomet-Signature': signatureOf(this.#secret, timestamp, body),
        },
      });
      request.on('response', resolve);
      request.on('error', (error: NodeJS.ErrnoException) => {
        const isClosedIdle = request.reusedSocket && error.code === 'ECONNRESET';
        const reason = reasonOf(error);
        reject(isClosedIdle ? new ClosedIdle(reason) : new HookFault('connection', reason));
      });
      request.end(body);
    });
    try {
      return await readAnswerOf(response);
    } catch (error) {
      if (error instanceof HookFault) throw error;
      throw new HookFault('connection', 'the connection ended within the answer');
    }
  }
}
