// Helpers for tests with a real browser: headless Chromium, and a server for test pages, so that a
// page has another origin than the server it subscribes to.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

import { chromium, type Browser, type Page } from 'playwright-core';
import type { Test } from 'tap';

import { root } from './helpers.js';
import { pathOf, without } from './requirements.js';

export const noBrowser = without('chromium');

/** Launches Debian's Chromium with a fresh profile; the caller closes it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: pathOf('chromium') ?? 'chromium',
    args: [
      // Tests may run as root, which Chromium's sandbox does not allow.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** Launches a browser that is closed with the test. */
export async function startBrowser(test: Test): Promise<Browser> {
  const browser = await launchBrowser();
  test.teardown(() => browser.close());
  return browser;
}

/** Serves one file of the repository at every path; returns the port. */
export async function servePage(test: Test, path: string): Promise<number> {
  const content = readFileSync(join(root, path));
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  test.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Opens a page; an error in its script fails the test. */
export async function openPage(test: Test, browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  page.on('pageerror', (error) => {
    test.fail(`script of the page: ${error.message}`);
  });
  await page.goto(url);
  return page;
}
