// The plots of a bench report: their numbers, and how a real browser draws them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import type { Page } from 'playwright-core';
import t from 'tap';

import { formatHtml } from '../../lib/bench/report-html.js';
import { launchBrowser, noBrowser } from '../support/browser.js';
import {
  bareResult,
  broadcast,
  embedded,
  fullResult,
  HOSTILE,
  shownBy,
  withTexts,
  type EmbeddedPlots,
} from '../support/fakes/report.js';

t.test('the rate of the ramp is computed between two points', (t) => {
  const result = bareResult();
  result.ramp.curve = [
    { seconds: 1, opened: 100, failed: 0 },
    { seconds: 3, opened: 500, failed: 7 },
    { seconds: 3, opened: 500, failed: 7 },
  ];
  const { ramp } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(ramp, [
    [0, 1, 3, 3],
    [0, 100, 500, 500],
    [0, 0, 7, 7],
    [100, 100, 200, null],
  ]);
  t.end();
});

t.test('the fan-out plot shows shares of the subscribers, for the average and the slowest', (t) => {
  const result = fullResult();
  result.opened = 100;
  result.fanout.broadcasts = [broadcast(100, 1), broadcast(50, 2)];
  const { fanout } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(fanout.names, ['All 2, on average', 'The slowest']);
  const [times = [], average = [], slowest = []] = fanout.columns;
  t.same([times[0], times.at(-1)], [0, 2000], 'milliseconds, up to the last delivery of all');
  t.same([average.at(-1), slowest.at(-1)], [75, 50], 'percent of the opened connections');
  const isRising = (line: (number | null)[]): boolean =>
    line.every((percent, at) => at === 0 || Number(percent) >= Number(line[at - 1]));
  t.ok(isRising(average) && isRising(slowest), 'no line falls');
  result.fanout.broadcasts.pop();
  const one = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.same(one.fanout.names, ['The broadcast'], 'a single broadcast has no slowest');
  result.fanout.broadcasts.pop();
  const html = formatHtml(result);
  t.notOk(
    'fanout' in (embedded(html, 'plots') as object),
    'without a broadcast the plot is missing',
  );
  t.match(shownBy(html), 'No message went to more than one subscriber.');
  t.end();
});

t.test('the width of a bucket leaves no step in the drawn distribution', (t) => {
  const result = fullResult();
  Object.assign(result.verify.latency, { minUs: 1, maxUs: 100, count: 2400 });
  result.verify.latency.buckets = [
    { upToUs: 0.5, count: 0 },
    { upToUs: 10, count: 1200 },
    { upToUs: 10 ** 1.5, count: 600 },
    { upToUs: 1000, count: 600 },
  ];
  const { latency } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  const [starts = [], verify = [], active = []] = latency.columns;
  const held = verify.filter((percent) => percent !== null && percent > 1e-6);
  t.equal(held.length, 24, 'two decades of twelve bins');
  for (const percent of held) t.ok(Math.abs((percent ?? 0) - 100 / 24) < 1e-6, String(percent));
  const sum = active.reduce<number>((total, percent) => total + (percent ?? 0), 0);
  t.ok(Math.abs(sum - 100) < 1e-6, 'a distribution sums to 100 %');
  t.ok(starts.every((start, at) => at === 0 || Number(start) > Number(starts[at - 1])));
  t.end();
});

t.test('an empty measurement is not drawn', (t) => {
  const result = fullResult();
  result.verify.latency.buckets = [];
  const { latency } = embedded(formatHtml(result), 'plots') as EmbeddedPlots;
  t.equal(latency.columns.length, 2, 'the bins and the other measurement');
  t.end();
});

/** Counts, in the browser, the pixels of every canvas that have the colour of each series. */
const COUNT_PAINTED = `(() => {
  const style = getComputedStyle(document.documentElement);
  const channels = (name) => [1, 3, 5].map((at) =>
    parseInt(style.getPropertyValue('--' + name).trim().slice(at, at + 2), 16));
  const painted = (canvas, name) => {
    const wanted = [...channels(name), 255];
    // Reads a copy: the browser warns if a canvas is both drawn on and read.
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      if (wanted.every((value, part) => Math.abs(value - data[at + part]) < 16)) count += 1;
    }
    return count;
  };
  return ['ramp', 'fanout', 'memory', 'latency'].map((id) => {
    const canvas = document.querySelector('#' + id + ' canvas');
    return { first: painted(canvas, 'first'), second: painted(canvas, 'second') };
  });
})()`;

interface Painted {
  first: number;
  second: number;
}

/** Opens a page in a real browser. Returns its complaints and its requests for other resources. */
async function browse(
  directory: string,
  html: string,
  look: (page: Page) => Promise<void>,
): Promise<{ complaints: string[]; requests: string[] }> {
  const file = join(directory, 'report.html');
  writeFileSync(file, html);
  const complaints: string[] = [];
  const requests: string[] = [];
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage({ colorScheme: 'light' });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => requests.push(request.url()));
    page.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(`file://${file}`);
    await look(page);
  } finally {
    await browser.close();
  }
  return { complaints, requests: requests.filter((url) => url !== `file://${file}`) };
}

/**
 * Polls a value for up to ten seconds until it is as wanted, and returns the last one. Playwright's
 * own wait evaluates text in the page, which the policy of the page forbids.
 */
async function poll<Value>(
  look: () => Promise<Value>,
  isWanted: (value: Value) => boolean,
): Promise<Value> {
  const deadline = Date.now() + 10_000;
  let value = await look();
  while (!isWanted(value) && Date.now() < deadline) {
    await setTimeout(20);
    value = await look();
  }
  return value;
}

// A function, because tap writes into the options it is given.
function inBrowser(): { skip: string | false } {
  return { skip: noBrowser };
}

t.test('a browser draws every series, in both colour schemes', inBrowser(), (t) =>
  browse(t.testdir(), formatHtml(fullResult()), async (page) => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      // The page draws in the new scheme in a later frame.
      const painted = await poll(
        () => page.evaluate<Painted[]>(COUNT_PAINTED),
        (plots) => plots.every(({ first }) => first > 100),
      );
      t.equal(painted.length, 4);
      for (const [at, { first, second }] of painted.entries()) {
        t.ok(first > 100 && second > 100, `${colorScheme}, plot ${at}: ${first}, ${second}`);
      }
    }
  }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test(
  'a plot has the width of the page and shows the values under the pointer',
  inBrowser(),
  (t) =>
    browse(t.testdir(), formatHtml(fullResult()), async (page) => {
      await page.setViewportSize({ width: 390, height: 800 });
      const width = await poll(
        () => page.evaluate<number>(`document.querySelector('#ramp .uplot').offsetWidth`),
        (pixels) => pixels < 390,
      );
      t.ok(width > 200 && width < 390, `${width} pixels`);
      t.equal(
        await page.evaluate('document.documentElement.scrollWidth'),
        390,
        'nothing overflows',
      );
      const legend = await poll(
        async () => {
          await page.mouse.move(0, 0);
          await page.hover('#ramp .u-over');
          return (await page.textContent('#ramp .u-legend')) ?? '';
        },
        (text) => text.includes('/s'),
      );
      t.match(legend, /Opened\d{3},\d{3}Rate65,3\d\d \/s/);
    }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test('a browser runs no script from a text of the result', inBrowser(), (t) =>
  browse(t.testdir(), formatHtml(withTexts(HOSTILE)), async (page) => {
    t.equal(await page.locator('canvas').count(), 4, 'it still draws');
    t.equal(await page.textContent('code'), HOSTILE);
  }).then((seen) => t.same(seen, { complaints: [], requests: [] })),
);

t.test('a result of one point and of one bucket is drawn without an error', inBrowser(), (t) => {
  const result = bareResult();
  const { verify, server } = fullResult();
  Object.assign(verify.latency, { count: 1, minUs: 400, maxUs: 400 });
  verify.latency.buckets = [{ upToUs: 512, count: 1 }];
  server.memoryCurve.length = 1;
  return browse(t.testdir(), formatHtml({ ...result, verify, server }), async (page) => {
    t.equal(await page.locator('canvas').count(), 3);
  }).then((seen) => t.same(seen, { complaints: [], requests: [] }));
});
