// Single checks of the doctor at their borders: each machine differs from a recorded one in one
// value, and has one expected finding.
import t from 'tap';

import type { Finding } from '../../lib/doctor/finding.js';
import type { Recording } from '../../lib/doctor/machine.js';
import { BORDERS, type Border } from '../support/machines/borders.js';
import {
  diagnosisOf,
  findingOf,
  pathOf,
  recordingOf,
  withFiles,
  withSysctls,
} from '../support/machines/recorded.js';

function machineOf({ on, sysctls, files, outputs }: Border): Recording {
  const recording = withSysctls(
    withFiles(recordingOf(on ?? 'debian-12'), files ?? {}),
    sysctls ?? {},
  );
  return { ...recording, outputs: { ...recording.outputs, ...outputs } };
}

function fixText({ fix }: Finding): string | null {
  switch (fix?.kind) {
    case 'sysctl':
      return `${fix.key} = ${fix.value}`;
    case 'unit':
      return `${fix.directive}=${fix.value}`;
    case 'advice':
    case 'outside':
      return fix.text;
    case undefined:
      return null;
  }
}

t.test('each check reports the expected finding at its border', (t) => {
  for (const row of BORDERS) {
    const found = findingOf(diagnosisOf(machineOf(row), row.aim), row.id);
    t.equal(found.severity, row.severity, row.about);
    if (row.connections !== undefined) t.equal(found.connections, row.connections, row.about);
    if (row.fix !== undefined) t.match(fixText(found), row.fix ?? null, row.about);
    const counters = found.counters.map(({ name, value }) => `${name} ${value}`);
    const all = [found.current, found.why, ...counters].join(' ');
    if (row.text !== undefined) t.match(all, row.text, row.about);
  }
  t.end();
});

t.test('a check skips a value that the kernel hides', (t) => {
  const { files } = recordingOf('laptop');
  for (const path of Object.keys(files).filter((name) => name.startsWith('/proc/sys/'))) {
    const key = path.slice('/proc/sys/'.length).replaceAll('/', '.');
    t.equal(pathOf(key), path);
    const diagnosis = diagnosisOf(withSysctls(recordingOf('laptop'), { [key]: null }), {
      role: 'both',
    });
    const found = diagnosis.findings.find(({ id }) => id === key);
    const isSkipped = found === undefined || found.severity === 'skipped';
    // A missing list of reserved ports counts as an empty list.
    if (!isSkipped && !key.endsWith('reserved_ports')) t.fail(`${key}: ${found.severity}`);
  }
  const empty: Recording = { about: 'nothing can be read', files: {}, outputs: {} };
  const { findings, verdict } = diagnosisOf(empty, { workers: 4 });
  t.equal(verdict.connections, 0, 'memory counts as 0 without /proc/meminfo');
  t.ok(findings.some(({ severity }) => severity === 'skipped'));
  t.end();
});
