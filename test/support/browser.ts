// What tests with a real browser need: Chromium without a window, and pages from a server of their
// own, so that they are of another origin than what they subscribe to.
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

/** Debian's Chromium with a fresh profile, for the caller to close. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: pathOf('chromium') ?? 'chromium',
    args: [
      // Tests run as root where they can, which its sandbox does not allow.
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

/** The same, closed with the test. */
export async function startBrowser(test: Test): Promise<Browser> {
  const browser = await launchBrowser();
  test.teardown(() => browser.close());
  return browser;
}

/** Serves one file of the repository at every path. Answers the port. */
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

/** Opens a page, and fails the test at an error in its script. */
export async function openPage(test: Test, browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  page.on('pageerror', (error) => {
    test.fail(`script of the page: ${error.message}`);
  });
  await page.goto(url);
  return page;
}
