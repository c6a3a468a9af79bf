// Hook requests in the manager: every worker gets one answer to each request, the counters add up,
// and workers that die or do not read get nothing.
import t, { type Test } from 'tap';

import { Authorization, IN_FLIGHT_MAX } from '../../lib/access/authorization.js';
import type { AuthorizeAnswer, AuthorizeRequest } from '../../lib/base/authorize.js';
import { silentLogger } from '../../lib/base/logger.js';
import { HookAction, HookVerdict, type Frames } from '../../lib/ipc/frames.js';
import { UNREAD_BYTES_MAX } from '../../lib/ipc/worker-port.js';
import { FakePort } from '../support/fakes/comet.js';

interface Asked {
  readonly request: AuthorizeRequest;
  readonly signal: AbortSignal;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: unknown) => void;
}

class World {
  nowMs = 0;
  readonly asked: Asked[] = [];
  readonly warnings: object[] = [];
  readonly ports = [new FakePort(0), new FakePort(1)];
  readonly authorization: Authorization;
  #request = 0;

  constructor(test: Test) {
    const warn = (fields: object): void => {
      this.warnings.push(fields);
    };
    this.authorization = new Authorization({
      authorize: (request, { signal }) =>
        new Promise((resolve, fail) => {
          const answer = (value: unknown): void => {
            resolve(value as AuthorizeAnswer);
          };
          this.asked.push({ request, signal, answer, fail });
        }),
      log: { ...silentLogger, warn },
      now: () => this.nowMs,
    });
    for (const port of this.ports) this.authorization.attach(port);
    test.teardown(() => {
      this.authorization.close();
    });
  }

  /** A hook request of a worker; returns its number. */
  ask(slot: number, fields: Partial<Frames['HookRequest']> = {}): number {
    const usual = { action: HookAction.connect, transport: 'sse', address: '', user: '' };
    const lists = { headerNames: [], headerValues: [], cookieNames: [], cookieValues: [] };
    const request = ++this.#request;
    const frame = { ...usual, ...lists, channels: ['a'], token: 's', request, ...fields };
    this.authorization.onRequest(slot, frame);
    return request;
  }

  /** The answers to a worker, as `NUMBER VERDICT`, after all pending promises. */
  async answers(port: FakePort | undefined): Promise<string[]> {
    await new Promise(setImmediate);
    return (port?.take() ?? []).map((frame) =>
      frame.name === 'HookAnswer'
        ? `${frame.fields.request} ${nameOf(frame.fields.verdict)}`
        : frame.name,
    );
  }

  /** Whether each hook request has exactly one end. */
  isBalanced(requests: number): boolean {
    const { counters } = this.authorization;
    const ends = counters.allowedTotal + counters.deniedTotal + counters.failedTotal;
    return (
      ends + counters.callsInFlight === counters.callsTotal &&
      counters.callsTotal + counters.cacheHitsTotal + counters.busyTotal === requests
    );
  }
}

function nameOf(verdict: number): string {
  const names = Object.entries(HookVerdict);
  return names.find(([, value]) => value === verdict)?.[0] ?? `${verdict}`;
}

t.test('answers go to the worker that asked, in any order', async (t) => {
  const world = new World(t);
  world.ask(0, { token: '1' });
  world.ask(1, { token: '2' });
  world.ask(0, { token: '3' });
  world.asked[2]?.answer({ allow: false });
  world.asked[1]?.answer({ allow: true });
  t.same(await world.answers(world.ports[0]), ['3 deny']);
  t.same(await world.answers(world.ports[1]), ['2 allow']);
  world.asked[0]?.fail(new Error('broken'));
  t.same(await world.answers(world.ports[0]), ['1 unavailable']);
  t.ok(world.isBalanced(3));
  t.match(world.authorization.counters, {
    ...{ callsTotal: 3, callsInFlight: 0, allowedTotal: 1, deniedTotal: 1 },
    ...{ failedTotal: 1, failedErrorTotal: 1 },
  });
});

t.test('an answer after the death of a worker is not for its successor', async (t) => {
  const world = new World(t);
  world.ask(0, { request: 1 });
  const [old] = world.ports;
  world.authorization.workerGone(0);
  world.ask(0, { request: 2 });
  t.equal(world.asked.length, 1, 'a slot without a worker has no hook requests');
  const successor = new FakePort(0);
  world.authorization.attach(successor);
  // Its numbers begin again.
  world.ask(0, { request: 1, token: 'another' });
  world.asked[0]?.answer({ allow: true, cacheSeconds: 10 });
  t.same(await world.answers(successor), []);
  t.same(await world.answers(old), []);
  world.asked[1]?.answer({ allow: false });
  t.same(await world.answers(successor), ['1 deny']);
  world.ask(0, { request: 2 });
  t.same(await world.answers(successor), ['2 allow'], 'the late answer was kept for its time');
  t.ok(world.isBalanced(3));
});

t.test('a worker that does not read gets no answer', async (t) => {
  const world = new World(t);
  const [port] = world.ports;
  world.ask(0);
  if (port !== undefined) port.queuedBytes = UNREAD_BYTES_MAX + 1;
  world.asked[0]?.answer({ allow: true });
  t.same(await world.answers(port), []);
  if (port !== undefined) port.queuedBytes = UNREAD_BYTES_MAX;
  world.ask(0, { token: '2' });
  world.asked[1]?.answer({ allow: true });
  t.same(await world.answers(port), ['2 allow']);
});

t.test('the time of an answer begins when it arrives, and its expiry ends it', async (t) => {
  const world = new World(t);
  world.ask(0);
  world.nowMs = 5000;
  world.asked[0]?.answer({ allow: true, cacheSeconds: 10 });
  t.same(await world.answers(world.ports[0]), ['1 allow']);
  world.nowMs = 14_999;
  world.ask(1);
  t.same(await world.answers(world.ports[1]), ['2 allow'], 'for every worker');
  world.nowMs = 15_000;
  world.ask(1);
  t.equal(world.asked.length, 2, 'asked again at its end');
  world.asked[1]?.answer({ allow: true, cacheSeconds: 60, expiresInSeconds: 3 });
  await world.answers(world.ports[1]);
  world.nowMs = 18_000;
  world.ask(1);
  t.equal(world.asked.length, 3, 'an identity that has expired is not given again');
  world.asked[2]?.answer({ allow: true });
  await world.answers(world.ports[1]);
  world.ask(1);
  t.equal(world.asked.length, 4, 'without cacheSeconds an answer counts once');
  t.ok(world.isBalanced(5));
});

t.test('a denial counts for its time, and no decision counts for none', async (t) => {
  const world = new World(t);
  world.ask(0, { token: 'denied' });
  world.asked[0]?.answer({ allow: false, cacheSeconds: 10 });
  world.ask(0, { token: 'unknown' });
  world.asked[1]?.answer({ allow: true, cacheSeconds: 86_401 });
  t.same(await world.answers(world.ports[0]), ['1 deny', '2 unavailable']);
  world.ask(0, { token: 'denied' });
  world.ask(0, { token: 'unknown' });
  t.same(await world.answers(world.ports[0]), ['3 deny']);
  t.equal(world.asked.length, 3);
  t.equal(world.authorization.counters.failedAnswerTotal, 1);
});

t.test('a user that is revoked is asked about again, for each action', async (t) => {
  const world = new World(t);
  const requests = [
    { user: '', action: HookAction.connect },
    { user: 'ada', action: HookAction.subscribe },
    { user: 'bob', action: HookAction.subscribe },
  ];
  const askAll = async (): Promise<number> => {
    const before = world.asked.length;
    for (const request of requests) world.ask(0, request);
    for (const { request, answer } of world.asked.slice(before)) {
      const identity = request.action === 'connect' ? { user: 'ada' } : {};
      answer({ allow: true, ...identity, cacheSeconds: 60 });
    }
    await world.answers(world.ports[0]);
    return world.asked.length - before;
  };
  t.equal(await askAll(), 3);
  t.equal(await askAll(), 0);
  world.authorization.forgetUser('ada');
  t.equal(await askAll(), 2);
});

t.test('128 hook requests wait, and the next ones are rejected at once', async (t) => {
  const world = new World(t);
  for (let at = 0; at < IN_FLIGHT_MAX + 2; at++) world.ask(at % 2, { token: `${at}` });
  t.equal(world.asked.length, IN_FLIGHT_MAX);
  t.same(await world.answers(world.ports[0]), [`${IN_FLIGHT_MAX + 1} unavailable`]);
  t.same(await world.answers(world.ports[1]), [`${IN_FLIGHT_MAX + 2} unavailable`]);
  t.match(world.warnings, [{ cause: 'busy' }], 'one line for all');
  world.asked[0]?.answer({ allow: true });
  await world.answers(world.ports[0]);
  world.ask(0);
  t.equal(world.asked.length, IN_FLIGHT_MAX + 1, 'an answer makes room');
  t.ok(world.isBalanced(IN_FLIGHT_MAX + 3));
  world.authorization.close();
  await world.answers(world.ports[0]);
  t.ok(world.asked.slice(1).every(({ signal }) => signal.aborted));
  t.equal(world.authorization.counters.callsInFlight, 0);
  t.ok(world.isBalanced(IN_FLIGHT_MAX + 3));
});
