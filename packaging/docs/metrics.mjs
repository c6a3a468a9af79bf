// docs/metrics.md: every metric of a server, from its declaration. Needs the built library.
import { join } from 'node:path';

import { ROOT } from '../tools.mjs';

export const page = 'docs/metrics.md';

const INTRODUCTION = `# Metrics

Every metric of the admin server's \`/metrics\`. \`npm run docs\` writes this page from the declarations in the
program. [operations.md](operations.md) says what to watch and what to do; [alerts.yml](alerts.yml) and
[grafana.json](grafana.json) use these metrics.

- A metric with the label \`worker\` has one sample for each slot: add them up.
- A counter starts at 0 with the server, and never falls, not even when a worker dies: use \`rate\` or
  \`increase\`. Metrics of the kernel are gauges here; those that count began with their network namespace.
- A value that this kernel or machine does not show is NaN, never 0.
- \`/stats\` reports the same values as JSON. A field there is the name in camel case, without
  \`megacomet_\` and, under \`mailboxes\`, \`ingest\`, \`hook\`, \`admin\` and \`kernel\`, without the name of
  the group.
`;

/** Sentences below the titles of groups. */
const NOTES = {
  'Counters of a worker':
    'A total is followed by one counter for each cause. The sum of the causes is the total.',
  Messages: 'Only with `--protocol comet`. The manager counts them, for all workers together.',
  Mailboxes: 'For clients that poll `/ID.js`; 0 without `--protocol comet`.',
  Ingest: 'For applications at `--ingest`; 0 without that option.',
  Hook: 'For clients without a token; 0 without `--hook-url`, or `authorize` of the library; see [hooks.md](hooks.md).',
  Limits: 'A limit that does not apply on this machine has no sample.',
};

function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('*', '\\*').replaceAll('<', '\\<');
}

function table(metrics) {
  const rows = metrics.map(
    ({ name, kind, labels, help }) =>
      `| \`${name}\` | ${kind} | ${labels.join(', ')} | ${cell(help)} |`,
  );
  return ['| metric | kind | labels | help |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

export async function content() {
  const load = (path) => import(join(ROOT, 'dist/lib', path));
  const { METRIC_TABLES } = await load('api/metric-tables.js');
  const { metricGroups } = await load('stats/metric-list.js');
  const groups = metricGroups(METRIC_TABLES).map(({ title, metrics }) => {
    const note = NOTES[title] === undefined ? '' : `${NOTES[title]}\n\n`;
    return `## ${title}\n\n${note}${table(metrics)}\n`;
  });
  return [INTRODUCTION, ...groups].join('\n');
}
