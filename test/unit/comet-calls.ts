// The calls of an application to a comet server, without a process: arguments, results and errors.
import t from 'tap';

import { CometCalls } from '../../lib/server/comet-calls.js';
import { Parts } from '../../lib/server/parts.js';

class Calls extends CometCalls {}

type Call = readonly [name: string, ...args: unknown[]];

/** Calls to a broker that records them and returns the name of each. */
function world(options: { mailboxes: boolean; ingest?: string } = { mailboxes: true }): {
  calls: Calls;
  recorded: Call[];
} {
  const recorded: Call[] = [];
  const broker = new Proxy(
    { mailboxes: { deliver: (...args: unknown[]) => recorded.push(['deliver', ...args]) } },
    {
      get: (target, name: string) =>
        name === 'mailboxes'
          ? target.mailboxes
          : (...args: unknown[]): string => {
              recorded.push([name, ...args]);
              return name;
            },
    },
  );
  const parts = { broker: () => broker } as unknown as Parts;
  return { calls: new Calls(parts, options), recorded };
}

t.test('each call reaches the broker once, with checked arguments', async (t) => {
  const { calls, recorded } = world();
  t.equal(await calls.publish('a', 'x', { id: 'i' }), 'publish');
  await calls.deliver('ada', 'x');
  t.equal(await calls.channels({ limit: 2 }), 'channels');
  t.equal(await calls.broadcast(['a', 'b'], 'x'), 'broadcast');
  t.equal(await calls.disconnect('a', 'bye'), 'disconnect');
  await calls.subscribe('ada', 'a');
  await calls.unsubscribe('ada', ['a', 'b']);
  await calls.revoke({ user: 'ada' });
  t.equal(calls.history('a', { limit: 3 }), 'history');
  t.equal(await calls.presence('a', 4), 'presence');
  t.strictSame(recorded, [
    ['publish', 'a', 'x', { id: 'i' }],
    ['deliver', 'ada', 'x'],
    ['channels', { limit: 2 }],
    ['broadcast', ['a', 'b'], 'x', undefined],
    ['disconnect', { channel: 'a' }, 'bye'],
    ['changeChannels', 'ada', ['a'], true],
    ['changeChannels', 'ada', ['a', 'b'], false],
    ['revoke', { user: 'ada' }],
    ['history', 'a', { limit: 3 }],
    ['presence', 'a', 4],
  ]);
});

t.test('an argument of the wrong type is an error before the broker is called', async (t) => {
  const { calls, recorded } = world();
  const wrong = (value: unknown): never => value as never;
  t.throws(() => calls.history('a', wrong({ limit: 0 })), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.channels(wrong({ limit: -1 })), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.channels(wrong({ size: 1 })), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.broadcast(wrong(1), 'x'), { code: 'ERR_OPTION_INVALID' });
  await t.rejects(calls.disconnect(wrong({ user: 'a', member: 'b' })), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.subscribe('ada', wrong(1)), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.unsubscribe('ada', wrong(null)), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.revoke(wrong({ name: 'ada' })), { code: /^ERR_OPTION_/ });
  await t.rejects(calls.presence('a', wrong('1')), { code: 'ERR_OPTION_INVALID' });
  t.strictSame(recorded, []);
});

t.test('a mailbox needs the option mailboxes or ingest', async (t) => {
  const closed = world({ mailboxes: false });
  await t.rejects(closed.calls.deliver('ada', 'x'), { code: 'ERR_OPTION_INVALID' });
  t.strictSame(closed.recorded, []);
  const open = world({ mailboxes: false, ingest: '0' });
  await open.calls.deliver('ada', 'x');
  t.equal(open.recorded.length, 1);
});

t.test('a server that does not run, or speaks echo, rejects each call', async (t) => {
  for (const protocol of ['comet', 'echo']) {
    const calls = new Calls(new Parts(protocol), { mailboxes: true });
    const error = { code: 'ERR_NOT_RUNNING' };
    await t.rejects(calls.publish('a', 'x'), error);
    await t.rejects(calls.broadcast(['a'], 'x'), error);
    await t.rejects(calls.presence('a'), error);
    await t.rejects(calls.channels(), error);
    t.throws(() => calls.history('a'), error);
    await t.rejects(calls.deliver('ada', 'x'), error);
    await t.rejects(calls.revoke({ user: 'ada' }), error);
  }
});
