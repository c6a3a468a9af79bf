// A start that fails at any of its steps, with real sockets and a real worker: nothing stays open.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import t from 'tap';

import { silentLogger } from '../../lib/base/logger.js';
import { Parts } from '../../lib/server/parts.js';
import { fill } from '../../lib/server/server-options.js';
import { StartSteps } from '../../lib/server/start-steps.js';
import { Startup, type Step } from '../../lib/server/startup.js';
import { WorkerMemory } from '../../lib/stats/stats.js';
import { procReader } from '../../lib/system/kernel.js';
import { until } from '../support/helpers.js';

/** Sockets and memory files that this process has open. */
function openDescriptors(): string[] {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((link) => /^socket:|memfd/.test(link)).sort();
}

function children(): string {
  return readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
}

function stepsOf(parts: Parts): readonly Step[] {
  const options = fill({
    host: '127.0.0.1',
    port: 0,
    adminPort: 0,
    workers: 1,
    maxConnections: 10,
    protocol: 'comet',
    ingest: '127.0.0.1:0',
  });
  const ignore = (): void => undefined;
  const context = {
    options,
    namesAddress: true,
    host: { dropsOwnIdentity: false, generatesToken: false, sockets: [], findLimits: () => [] },
    log: silentLogger,
    startLog: silentLogger,
    memory: new WorkerMemory(procReader),
    view: {
      protocol: 'comet',
      info: () => ({}),
      stats: () => {
        throw new Error('not asked');
      },
      readiness: () => ({ isReady: false, isDraining: false, isLogReady: null, notServing: [] }),
    },
    events: {
      onMessage: ignore,
      onSubscribe: ignore,
      onUnsubscribe: ignore,
      onOverflow: ignore,
    },
    deliver: () => undefined,
    onWorker: ignore,
    onMessaging: ignore,
    drainMs: () => 0,
  };
  return new StartSteps(context, parts).list();
}

const NAMES = stepsOf(new Parts('echo')).map(({ name }) => name);

t.test('the steps of a start open everything, and their undos close it', async (t) => {
  const before = openDescriptors();
  const parts = new Parts('echo');
  const startup = new Startup(stepsOf(parts));
  await startup.run(() => undefined);
  t.equal(parts.addresses.length, 1);
  t.type(parts.adminPort, 'number');
  t.type(parts.ingestPort, 'number');
  t.not(children(), '', 'a worker runs');
  t.ok(openDescriptors().length > before.length, 'sockets are open');
  await startup.undo();
  await until('the descriptors to be closed', () => openDescriptors().join() === before.join());
  t.equal(children(), '', 'no process is left');
  t.same(parts.killed, [], 'the worker exited by itself');
});

for (const failing of NAMES) {
  t.test(`nothing stays open if the step "${failing}" fails at its end`, async (t) => {
    const before = openDescriptors();
    const steps = stepsOf(new Parts('echo')).map((step): Step => {
      if (step.name !== failing) return step;
      return {
        ...step,
        run: async () => {
          await step.run();
          throw new Error('injected');
        },
      };
    });
    const startup = new Startup(steps);
    await t.rejects(
      startup.run(() => undefined),
      new Error('injected'),
    );
    await startup.undo();
    await until('the descriptors to be closed', () => openDescriptors().join() === before.join());
    t.equal(children(), '', 'no process is left');
  });
}
