// The answers of an application that count for a time: bounded, for their time, and for the same
// hook request alone.
import t from 'tap';

import { UNDECIDED, type Decision } from '../../lib/access/authorize-answer.js';
import { DecisionCache, keyOf } from '../../lib/access/decision-cache.js';
import type { AuthorizeRequest } from '../../lib/base/authorize.js';
import { HookVerdict } from '../../lib/ipc/frames.js';

const ENTRIES_MAX = 65_536;
const BYTES_MAX = 16 * 1024 * 1024;

const REQUEST: AuthorizeRequest = {
  action: 'connect',
  channels: ['a', 'b'],
  user: 'ada',
  transport: 'sse',
  address: '192.0.2.1',
  token: 's1',
  headers: { 'X-Session': 'h1' },
  cookies: { session: 'c1' },
};

const allow = (more: Partial<Decision> = {}): Decision => ({
  ...UNDECIDED,
  verdict: HookVerdict.allow,
  ...more,
});

const keep = (cache: DecisionCache, key: string, decision: Decision, more: object = {}): void => {
  cache.add(key, { decision, user: '', endsAtMs: 1000, ...more });
};

const DIFFERENT: Readonly<Record<string, Partial<AuthorizeRequest>>> = {
  action: { action: 'subscribe' },
  'no channel': { channels: [] },
  'a channel less': { channels: ['a'] },
  'a channel more': { channels: ['a', 'b', 'c'] },
  'channels that have the same letters': { channels: ['a,b'] },
  user: { user: 'bob' },
  token: { token: 's2' },
  'a user in place of the token': { user: 's1', token: 'ada' },
  'the value of a header field': { headers: { 'X-Session': 'h2' } },
  'the name of a header field': { headers: { Session: 'h1' } },
  'no header field': { headers: {} },
  cookie: { cookies: { session: 'c2' } },
  'a header field in place of the cookie': {
    headers: { session: 'c1' },
    cookies: { 'X-Session': 'h1' },
  },
};

t.test('an answer counts for the same request, from any address and over any transport', (t) => {
  const same = keyOf(REQUEST);
  t.equal(keyOf({ ...REQUEST, address: '192.0.2.2', transport: 'poll' }), same);
  t.equal(keyOf({ ...REQUEST, channels: ['b', 'a'] }), same, 'channels in another order');
  const keys = Object.values(DIFFERENT).map((other) => keyOf({ ...REQUEST, ...other }));
  for (const [index, name] of Object.keys(DIFFERENT).entries()) t.not(keys[index], same, name);
  t.equal(new Set(keys).size, keys.length);
  t.match(same, /^[A-Za-z0-9+/]{43}=$/, 'a hash, which has no credential');
  t.end();
});

t.test('an answer counts until its time, and not at it', (t) => {
  const cache = new DecisionCache();
  const decision = allow();
  keep(cache, 'k', decision, { endsAtMs: 60_000 });
  t.equal(cache.find('k', 59_999), decision);
  t.equal(cache.find('other', 0), undefined);
  t.equal(cache.find('k', 60_000), undefined);
  t.equal(cache.size, 0, 'an answer that has ended is forgotten');
  t.end();
});

t.test('a later answer replaces an earlier one', (t) => {
  const cache = new DecisionCache();
  keep(cache, 'k', allow({ user: 'ada' }));
  keep(cache, 'k', allow({ user: 'bob' }), { endsAtMs: 2000 });
  t.equal(cache.size, 1);
  t.equal(cache.find('k', 1500)?.user, 'bob');
  t.end();
});

t.test('65,536 answers are kept; the oldest ones give way', (t) => {
  const cache = new DecisionCache();
  const decision = allow();
  for (let at = 0; at < ENTRIES_MAX + 10; at++) keep(cache, `k${at}`, decision);
  t.equal(cache.size, ENTRIES_MAX);
  t.equal(cache.find('k9', 0), undefined);
  t.equal(cache.find('k10', 0), decision);
  t.equal(cache.find(`k${ENTRIES_MAX + 9}`, 0), decision);
  t.end();
});

t.test('the answers have 16 MiB together', (t) => {
  const cache = new DecisionCache();
  const bytes = 100_000;
  const big = allow({ info: 'x'.repeat(bytes) });
  for (let at = 0; at < 500; at++) keep(cache, `k${at}`, big);
  t.ok(cache.size > 0.9 * (BYTES_MAX / bytes) && cache.size * bytes <= BYTES_MAX, `${cache.size}`);
  t.equal(cache.find('k499', 0), big, 'the newest one stays');
  for (let round = 0; round < 500; round++) keep(cache, 'k499', big);
  t.ok(cache.size > 0.9 * (BYTES_MAX / bytes), 'an answer that is replaced counts once');
  for (let at = 0; at < 500; at++) cache.find(`k${at}`, 1000);
  t.equal(cache.size, 0);
  for (let at = 0; at < 500; at++) keep(cache, `k${at}`, allow());
  t.equal(cache.size, 500, 'the bytes of forgotten answers are free');
  t.end();
});

t.test('a user is forgotten as the user of an answer, and of a hook request', (t) => {
  const cache = new DecisionCache();
  keep(cache, 'connect', allow({ user: 'ada' }));
  keep(cache, 'subscribe', allow(), { user: 'ada' });
  keep(cache, 'denied', { ...UNDECIDED, verdict: HookVerdict.deny }, { user: 'ada' });
  keep(cache, 'other', allow({ user: 'adam' }), { user: 'bob' });
  cache.forgetUser('ada');
  t.equal(cache.size, 1);
  t.ok(cache.find('other', 0));
  t.end();
});
