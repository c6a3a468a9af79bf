// Steps of the wall clock: tokens end by the new time, and nothing
// else of the server follows that clock.
import t, { type Test } from 'tap';

import { nowS, Secret } from '../support/client-tokens.js';
import { Program, SseClient } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { SteppedClock } from '../support/stepped-clock.js';

const HOUR_S = 3600;

/** The answer to a poll of channel a. */
async function answerOf(
  { port }: Program,
  token: string,
): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}/poll?channel=a&timeout=0&token=${token}`);
  return { status: response.status, text: await response.text() };
}

async function subscribe(
  t: Test,
  program: Program,
  channel: string,
  { token = '', cursor = '' } = {},
): Promise<SseClient> {
  const client = new SseClient(program, [channel]);
  client.token = token;
  client.cursor = cursor;
  t.teardown(() => {
    client.close();
  });
  await client.open();
  return client;
}

t.test('a step of the clock moves the ends of tokens alone', async (t) => {
  const clock = new SteppedClock(t);
  const secret = new Secret(t);
  const access = ['--token-key', secret.option, '--public', 'open', '--history-age', '60'];
  const program = await Program.start(t, { args: ['--workers', '2', ...access], env: clock.env });
  const grants = { subscribe: ['a'] };
  const hour = secret.token({ sub: 'ada', grants });
  const day = secret.token({ sub: 'bob', grants, exp: nowS() + 24 * HOUR_S });
  const ada = await subscribe(t, program, 'a', { token: hour });
  const bob = await subscribe(t, program, 'a', { token: day });
  const nobody = await subscribe(t, program, 'open');
  t.equal(await program.publish('a', 'first'), 200);
  await until('the first message', () => bob.data.length === 1);

  clock.step(2 * HOUR_S);
  await until('the end of the token', () => !ada.isOpen);
  t.match(await answerOf(program, hour), { status: 401, text: /token: expired/ });
  t.ok(bob.isOpen, 'a token of a day is still valid');
  t.equal(await program.publish('a', 'second'), 200);
  const [{ cursor } = { cursor: '' }] = bob.seen;
  const late = await subscribe(t, program, 'a', { token: day, cursor });
  await until('the second message', () => late.data.includes('second'));
  t.equal(late.lost, 0, 'the history has not aged');

  clock.step(-2 * HOUR_S);
  const fresh = secret.token({ sub: 'eve', grants, jti: 'unknown' });
  t.match(await answerOf(program, fresh), { status: 401, text: /token: not valid yet/ });
  t.equal(await program.publish('open', 'third'), 200);
  await until('the message', () => nobody.data.length === 1);

  clock.step(0);
  t.match(await answerOf(program, hour), { status: 204 }, 'the token counts again');
  t.match(await answerOf(program, fresh), { status: 204 });
  t.ok(bob.isOpen, 'no other connection has ended');
  t.ok(nobody.isOpen);
});
