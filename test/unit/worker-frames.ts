// The frames of workers: each reaches the part of the broker that it is about.
import { setImmediate as settled } from 'node:timers/promises';

import t from 'tap';

import { WorkerFrames, type WorkerFramesParts } from '../../lib/broker/worker-frames.js';
import type { Frame } from '../../lib/ipc/frames.js';

interface Choices {
  /** The results of the parts: false for a worker that breaks its protocol. */
  readonly isValid?: boolean;
  readonly areEventsOn?: boolean;
  readonly isClosed?: boolean;
  readonly message?: object | null;
}

/** Parts that record their calls as "part.method slot". */
function world(choices: Choices = {}): { frames: WorkerFrames; calls: string[] } {
  const { isValid = true, areEventsOn = true, isClosed = false, message = null } = choices;
  const calls: string[] = [];
  const note =
    <Result>(name: string, result: Result) =>
    (...args: readonly unknown[]): Result => {
      calls.push([name, ...args.filter((arg) => typeof arg !== 'object')].join(' '));
      return result;
    };
  const parts = {
    iteration: { scheduleFlush: note('flush', undefined), isClosed },
    interest: { set: note('set', undefined), reported: note('reported', undefined) },
    recovery: { onRequest: note('replay', isValid) },
    clients: { onMessage: note('message', message) },
    presence: {
      areEventsOn,
      eventOf: () => ({ channel: 'a', member: 'm', user: '' }),
      onPresent: note('present', isValid),
    },
    joinLeave: { onEvent: note('announce', undefined) },
    requests: { onRequest: note('request', isValid) },
    mailboxes: { onFrame: note('mailbox', undefined) },
    hasJoinLeave: () => true,
    onMessage: note('emit message', undefined),
    onPresence: note('emit', undefined),
    onOverflow: note('overflow', undefined),
  };
  return { frames: new WorkerFrames(parts as unknown as WorkerFramesParts), calls };
}

const frame = (name: string, fields: object = {}): Frame => ({ name, fields }) as unknown as Frame;

t.test('each frame reaches its part, and all others the mailboxes', (t) => {
  const { frames, calls } = world();
  frames.onFrame(3, frame('Interest', { channel: 'a', count: 2, wanted: 1 }));
  frames.onFrame(3, frame('Interest', { channel: 'b/*', count: 0, wanted: 0 }));
  frames.onFrame(3, frame('InterestEnd', { request: 9 }));
  frames.onFrame(3, frame('ReplayRequest'));
  frames.onFrame(3, frame('Message'));
  frames.onFrame(3, frame('Present'));
  frames.onFrame(3, frame('ClientRequest'));
  frames.onFrame(3, frame('MailboxPoll'));
  t.strictSame(calls, [
    ...['set 3 a 2 true', 'set 3 b/* 0 false', 'reported 3 9'],
    ...['flush', 'replay 3', 'message 3', 'present 3', 'flush', 'request 3', 'mailbox 3'],
  ]);
  t.end();
});

t.test('a worker that breaks its protocol is reported', (t) => {
  for (const name of ['ReplayRequest', 'Present', 'ClientRequest']) {
    const { frames, calls } = world({ isValid: false });
    frames.onFrame(3, frame(name));
    t.equal(calls.at(-1), 'overflow 3', name);
  }
  t.end();
});

t.test('interest in an invalid name is ignored', (t) => {
  const { frames, calls } = world();
  frames.onFrame(3, frame('Interest', { channel: 'a\n', count: 1, wanted: 1 }));
  t.strictSame(calls, []);
  t.end();
});

t.test('a message of a client is emitted if it was published', async (t) => {
  const { frames, calls } = world({ message: {} });
  frames.onFrame(3, frame('Message'));
  await settled();
  t.strictSame(calls, ['message 3', 'emit message']);
});

t.test('presence is emitted while it has listeners, and announced until the end', (t) => {
  const cases: readonly [Choices, readonly string[]][] = [
    [{}, ['emit subscribe', 'announce join', 'emit unsubscribe', 'announce leave']],
    [{ areEventsOn: false }, ['announce join', 'announce leave']],
    [{ isClosed: true }, ['emit subscribe', 'emit unsubscribe']],
  ];
  for (const [choices, wanted] of cases) {
    const { frames, calls } = world(choices);
    frames.onFrame(3, frame('Presence', { present: 1 }));
    frames.onFrame(3, frame('Presence', { present: 0 }));
    t.strictSame(calls, wanted);
  }
  t.end();
});
