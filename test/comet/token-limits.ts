// Messages per second of one token: of a back end over HTTP, and of clients over all their WebSockets.
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

import t, { type Test } from 'tap';

import { totalOf } from '../support/address-peer.js';
import { Secret } from '../support/client-tokens.js';
import { startComet, type World } from '../support/comet-world.js';
import { until } from '../support/helpers.js';
import { CommandClient } from '../support/websocket-peer.js';

const RATE = 10;
const SENTENCE = `too many messages of this token: at most ${RATE} a second are allowed; retry later`;

interface Site extends World {
  readonly secret: Secret;
  /** Sends JSON, or lines, with a token. */
  post(token: string, path: string, ...bodies: readonly object[]): Promise<Response>;
}

async function start(t: Test, options: object = {}): Promise<Site> {
  const secret = new Secret(t);
  const roles = ['first', 'second'].map((name) => {
    const file = join(secret.path, '..', name);
    writeFileSync(file, `the-${name}-back-end-token`, { mode: 0o600 });
    return `publish=${file}`;
  });
  const world = await startComet(t, {
    ...{ workers: 2, tokenKey: [secret.option], clientPublish: true, publishesPerToken: RATE },
    ...{ adminPort: 0, adminToken: 'the-token-of-the-operator', adminRole: roles },
    ...options,
  });
  const url = `http://127.0.0.1:${world.server.adminPort}`;
  const post: Site['post'] = (authorization, path, ...bodies) => {
    const isLines = bodies.length > 1;
    const type = isLines ? 'application/x-ndjson' : 'application/json';
    const body = bodies.map((one) => JSON.stringify(one)).join('\n');
    return fetch(`${url}${path}`, {
      method: 'POST',
      headers: { authorization, 'content-type': type },
      body,
    });
  };
  return { ...world, secret, post };
}

const MESSAGE = { channel: 'a', data: 'x' };
const limitedOverHttp = ({ server }: World): number =>
  Number(server.stats().messages?.apiMessagesLimitedTotal);

t.test('a back end publishes at its rate over HTTP, and leaves others theirs', async (t) => {
  const site = await start(t);
  const first = 'Bearer the-first-back-end-token';
  const batch = Array.from({ length: 40 }, () => MESSAGE);
  const answers = (await (await site.post(first, '/publish', ...batch)).text()).trim().split('\n');
  const parsed = answers.map((line) => JSON.parse(line) as { status?: number; error?: string });
  const rejected = parsed.filter(({ status }) => status === 429);
  t.equal(parsed.length, batch.length, 'an answer for each line');
  t.ok(
    rejected.length > 0 && rejected.length <= batch.length - RATE,
    `${rejected.length} rejected`,
  );
  t.match(rejected[0], { error: SENTENCE, code: 'ERR_BUSY' });
  t.equal(limitedOverHttp(site), rejected.length);

  // A broadcast of 600 channels is paid for a minute.
  const channels = Array.from({ length: 600 }, (_, at) => `c${at}`);
  const second = 'Bearer the-second-back-end-token';
  t.equal((await site.post(second, '/broadcast', { channels, data: 'x' })).status, 200);
  for (const spelling of [second, second.replace('Bearer', 'bearer ')]) {
    const over = await site.post(spelling, '/publish', MESSAGE);
    t.equal(over.status, 429);
    t.match(over.headers.get('retry-after'), /^\d+$/);
    t.same(await over.json(), { error: SENTENCE, code: 'ERR_BUSY' });
  }
  t.equal((await site.post(second, '/broadcast', { channels, data: 'x' })).status, 429);
  t.equal(limitedOverHttp(site), rejected.length + 2 + channels.length);
  const operator = 'Bearer the-token-of-the-operator';
  t.equal((await site.post(operator, '/publish', MESSAGE)).status, 200);
  t.equal((await site.post(operator, '/disconnect', { channel: 'a' })).status, 200);
  await site.server.publish('a', 'the library has no token');
});

t.test('a token of clients has one rate over all WebSockets and workers', async (t) => {
  const site = await start(t, { clientPublishRate: 1000 });
  const grants = { publish: ['a'] };
  const open = async (claims: object): Promise<CommandClient> => {
    const token = site.secret.token({ grants, ...claims });
    const client = new CommandClient(site.port, `/ws?token=${token}`);
    t.teardown(() => {
      client.close();
    });
    await client.open();
    return client;
  };
  const flood = (client: CommandClient): void => {
    for (let id = 0; id < 50; id++) {
      client.say(JSON.stringify({ type: 'publish', ...MESSAGE, id: `${id}` }));
    }
  };
  const shared = await Promise.all([1, 2, 3, 4].map(() => open({ jti: 'shared' })));
  for (const client of shared) flood(client);
  await until('all answers', () => shared.every(({ told }) => told.length === 50));
  const errors = shared.flatMap(({ told }) => told).filter((text) => text.includes('"error"'));
  t.ok(errors.length > 0 && errors.length <= 200 - RATE, `${errors.length} errors`);
  t.ok(errors.every((text) => text.includes(SENTENCE)));
  const limited = (): number => Number(site.server.stats().messages?.clientMessagesLimitedTotal);
  t.equal(limited(), errors.length);
  t.equal(totalOf(site, 'clientPublishesLimitedTotal'), 0, 'no limit of a connection');

  const others = [await open({ jti: 'other' }), await open({})];
  for (const client of others) client.say(JSON.stringify({ type: 'publish', ...MESSAGE, id: 'o' }));
  await until('both answers', () => others.every(({ told }) => told.length === 1));
  t.match(
    others.map(({ told }) => told[0]),
    [/"published"/, /"published"/],
  );
  flood(others[1] as CommandClient);
  await until('all answers', () => others[1]?.told.length === 51);
  t.equal(limited(), errors.length, 'a token without an id is not limited');
});
