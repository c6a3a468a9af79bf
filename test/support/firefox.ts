// Debian's Firefox for tests, headless and without a driver: its page asks the test for an
// expression, evaluates it, and reports the result.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';

import type { Test } from 'tap';

import { start, temporaryFolder } from './examples.js';
import { serveLocally } from './local-server.js';
import { without } from './requirements.js';

export const noFirefox = without('firefox-esr');

/** The part of a page that a test needs; a page of playwright has it too. */
export interface ScriptedPage {
  /** Evaluates an expression or a script in the page; resolves to its JSON value. */
  evaluate<T>(expression: string): Promise<T>;
}

/** Opens a page in a Firefox that ends with the test. */
export function startFirefox(test: Test, url: string): void {
  const folder = temporaryFolder(test);
  const command = ['firefox-esr', '--headless', '--no-remote', '--profile', folder, url];
  start(test, folder, command, { HOME: folder });
}

const PAGE = `<!doctype html>
<title>Scripted page</title>
<link rel="icon" href="data:," />
<script>
  async function evaluate(expression) {
    try {
      return { value: await (0, eval)(expression) };
    } catch (error) {
      return { error: String(error) };
    }
  }
  (async () => {
    for (;;) {
      const expression = await (await fetch('/expression')).text();
      const body = JSON.stringify(await evaluate(expression));
      await fetch('/result', { method: 'POST', body });
    }
  })();
</script>`;

interface Result {
  readonly value?: unknown;
  readonly error?: string;
}

interface Later<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
}

function later<T>(): Later<T> {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((take) => (resolve = take));
  return { promise, resolve };
}

/** The expressions of a test, one at a time. */
class Expressions implements ScriptedPage {
  #last: Promise<unknown> = Promise.resolve();
  #asked = later<ServerResponse>();
  #answer = later<Result>();

  evaluate<T>(expression: string): Promise<T> {
    const result = this.#last.then(() => this.#run(expression));
    this.#last = result.catch(() => undefined);
    return result as Promise<T>;
  }

  async #run(expression: string): Promise<unknown> {
    const response = await this.#asked.promise;
    this.#asked = later();
    response.end(expression);
    const { value, error } = await this.#answer.promise;
    this.#answer = later();
    if (error !== undefined) throw new Error(`the page reports ${error}`);
    return value;
  }

  async onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/expression') {
      this.#asked.resolve(response);
    } else if (request.url === '/result') {
      this.#answer.resolve(JSON.parse(await text(request)) as Result);
      response.writeHead(204).end();
    } else {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(PAGE);
    }
  }
}

/** Opens a page in Firefox that evaluates expressions of the test. */
export async function openScriptedPage(test: Test): Promise<ScriptedPage> {
  const expressions = new Expressions();
  const port = await serveLocally(test, (request, response) => {
    void expressions.onRequest(request, response);
  });
  startFirefox(test, `http://127.0.0.1:${port}/`);
  return expressions;
}
