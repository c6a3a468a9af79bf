// A control group with a memory limit for the processes of one test, of version 1 or 2, as this
// machine has it. It is removed when the test ends.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { until, type Test } from '../helpers.js';
import { unless } from '../requirements.js';

const V1 = '/sys/fs/cgroup/memory';
const V2 = '/sys/fs/cgroup';
const isV1 = existsSync(join(V1, 'memory.limit_in_bytes'));
const LIMIT = isV1 ? 'memory.limit_in_bytes' : 'memory.max';

function makeFolder(): string {
  const folder = join(isV1 ? V1 : V2, `megacomet-test-${process.pid}-${Date.now()}`);
  mkdirSync(folder);
  return folder;
}

function canLimit(): boolean {
  let folder: string | undefined;
  try {
    folder = makeFolder();
    writeFileSync(join(folder, LIMIT), String(2 ** 30));
    return true;
  } catch {
    return false;
  } finally {
    if (folder !== undefined) rmdirSync(folder);
  }
}

/** Why tests that need a memory group are skipped. */
export const noMemoryGroup = unless(
  canLimit(),
  'cannot make a memory cgroup: that needs root and a writable /sys/fs/cgroup',
);

export class MemoryGroup {
  private constructor(readonly folder: string) {}

  static make(test: Pick<Test, 'teardown'>, limitBytes: number): MemoryGroup {
    const group = new MemoryGroup(makeFolder());
    writeFileSync(join(group.folder, LIMIT), String(limitBytes));
    test.teardown(async () => {
      // The last process of the group may still be exiting.
      await until('the group to be empty', () => group.#remove());
    });
    return group;
  }

  /** The command that starts another one in the group: for StartOptions.through. */
  get through(): string[] {
    return ['sh', '-c', 'echo $$ > "$0"/cgroup.procs && exec "$@"', this.folder];
  }

  /** Processes of the group that the kernel killed because of its memory limit. */
  kills(): number {
    const name = isV1 ? 'memory.oom_control' : 'memory.events';
    const text = readFileSync(join(this.folder, name), 'utf8');
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  #remove(): boolean {
    try {
      rmdirSync(this.folder);
      return true;
    } catch {
      return false;
    }
  }
}
