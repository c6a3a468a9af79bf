// A start as steps with undo actions: whichever step fails, nothing stays open. Pure.
import t from 'tap';

import { silentLogger, type Logger } from '../../lib/base/logger.js';
import type { Capacity } from '../../lib/capacity/capacity.js';
import { DeferredLog } from '../../lib/server/deferred-log.js';
import { warnOfLimits, type LimitFinding } from '../../lib/server/start-warnings.js';
import { Startup, type Step } from '../../lib/server/startup.js';

const NAMES = ['a', 'b', 'c'];

/** Steps that open and close a name, and the list of these events. */
function stepsOf(failing?: string): { steps: Step[]; done: string[]; open: Set<string> } {
  const done: string[] = [];
  const open = new Set<string>();
  const steps = NAMES.map((name): Step => {
    return {
      name,
      run: async () => {
        await Promise.resolve();
        open.add(name);
        done.push(name);
        if (name === failing) throw new Error(`${name} failed`);
      },
      undo: () => {
        open.delete(name);
        done.push(`-${name}`);
      },
    };
  });
  return { steps, done, open };
}

t.test('steps run in order, and are undone in reverse order', async (t) => {
  const { steps, done, open } = stepsOf();
  const startup = new Startup(steps);
  await startup.run(() => undefined);
  t.same([...open], NAMES);
  await startup.undo();
  t.same(done, ['a', 'b', 'c', '-c', '-b', '-a']);
  await startup.undo();
  t.equal(done.length, 6, 'a second undo does nothing');
});

for (const failing of NAMES) {
  t.test(`if step ${failing} fails, it and the steps before it are undone`, async (t) => {
    const { steps, done, open } = stepsOf(failing);
    const startup = new Startup(steps);
    await t.rejects(
      startup.run(() => undefined),
      new Error(`${failing} failed`),
    );
    await startup.undo();
    t.equal(open.size, 0, 'nothing is open');
    const begun = NAMES.slice(0, NAMES.indexOf(failing) + 1);
    t.same(done, [...begun, ...begun.map((name) => `-${name}`).reverse()]);
  });
}

t.test('a cancelled start ends after the step that runs, which is undone too', async (t) => {
  const { steps, done, open } = stepsOf();
  const startup = new Startup(steps);
  let isCancelled = false;
  const started = startup.run(() => {
    if (isCancelled) throw new Error('cancelled');
  });
  isCancelled = true;
  const undone = startup.undo();
  await t.rejects(started, new Error('cancelled'));
  await undone;
  t.same(done, ['a', '-a']);
  t.equal(open.size, 0);
});

t.test('an undo that fails does not stop the others', async (t) => {
  const { steps, done } = stepsOf();
  const broken: Step = {
    name: 'broken',
    run: () => undefined,
    undo: () => {
      throw new Error('undo failed');
    },
  };
  const startup = new Startup([...steps, broken]);
  await startup.run(() => undefined);
  await t.rejects(startup.undo(), new Error('undo failed'));
  t.same(done.slice(-3), ['-c', '-b', '-a']);
});

/** A logger that keeps its lines. */
function record(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const warn = (fields: object, message: string): void => {
    lines.push(`${message} ${JSON.stringify(fields)}`);
  };
  return { log: { ...silentLogger, info: warn, warn }, lines };
}

t.test('a deferred log writes its lines at flush(), in order and once', (t) => {
  const { log, lines } = record();
  const deferred = new DeferredLog(log);
  deferred.warn({ a: 1 }, 'first');
  deferred.info({}, 'second');
  t.same(lines, []);
  deferred.flush();
  deferred.flush();
  t.same(lines, ['first {"a":1}', 'second {}']);
  t.end();
});

const CAPACITY: Capacity = {
  workers: 2,
  workerConnectionsMax: 500,
  maxConnections: 1000,
  binding: 'fs.file-max (900 left)',
  warning: '1000 connections are more than fs.file-max allows: about 900',
};

function finding(id: string, connections: number | null): LimitFinding {
  return { id, current: '1', needed: '2', why: 'because', connections };
}

t.test('each limit gives one warning, even if several checks find it', (t) => {
  const facts = { findings: [], capacity: CAPACITY, hasTarget: true, backlog: 100, somaxconn: 50 };
  const linesOf = (change: Partial<Parameters<typeof warnOfLimits>[0]>): string[] => {
    const { log, lines } = record();
    warnOfLimits({ ...facts, ...change }, log);
    return lines.map((line) => line.replace(/ \{.*$/, ''));
  };
  const capacity = { ...CAPACITY, warning: null };
  t.same(linesOf({}), [CAPACITY.warning, 'net.core.somaxconn limits the backlog']);
  t.same(linesOf({ capacity, somaxconn: null }), [], 'a limit that is not visible');
  t.same(linesOf({ capacity, somaxconn: 100 }), [], 'a limit that is high enough');
  t.same(linesOf({ findings: [finding('fs.file-max', 900)], somaxconn: null }), [
    'fs.file-max: because',
  ]);
  t.same(linesOf({ capacity, findings: [finding('net.core.somaxconn / backlog', null)] }), [
    'net.core.somaxconn / backlog: because',
  ]);
  const found = [finding('fs.nr_open', 900), finding('tcp_mem', null)];
  t.same(
    linesOf({ capacity, findings: found, somaxconn: null, hasTarget: false }),
    ['tcp_mem: because'],
    'without a target the server uses the capacity that the other limits leave',
  );
  t.end();
});
