// Helpers for tests with a real browser: headless Chromium, and a server for test pages, so that a
// page has another origin than the server it subscribes to.
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { chromium, type Browser, type Page } from 'playwright-core';
import type { Test } from 'tap';

import { root } from './helpers.js';
import { serveLocally } from './local-server.js';
import { pathOf, without } from './requirements.js';

export const noBrowser = without('chromium');

/** The arguments of a browser that accepts a certificate without knowing its authority. */
export function trusting({ cert }: { readonly cert: string }): string[] {
  const key = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' });
  const digest = createHash('sha256').update(key).digest('base64');
  return [`--ignore-certificate-errors-spki-list=${digest}`];
}

/** Launches Debian's Chromium with a fresh profile; the caller closes it. */
export function launchBrowser(more: readonly string[] = []): Promise<Browser> {
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
      ...more,
    ],
  });
}

/** Launches a browser that is closed with the test. */
export async function startBrowser(test: Test, more: readonly string[] = []): Promise<Browser> {
  const browser = await launchBrowser(more);
  test.teardown(() => browser.close());
  return browser;
}

/** Serves one file of the repository at every path; returns the port. */
export function servePage(test: Test, path: string): Promise<number> {
  const content = readFileSync(join(root, path));
  return serveLocally(test, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(content);
  });
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
