// The back ends of examples/tokens issue tokens that a server accepts, with the grants of their user.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { startComet } from '../support/comet-world.js';
import { startBackEnd } from '../support/examples.js';
import { root, until } from '../support/helpers.js';
import { without } from '../support/requirements.js';
import { CommandClient } from '../support/websocket-peer.js';

const folder = join(root, 'examples/tokens');
const SECRET = 'a secret of more than thirty-two bytes';

/** A key file with a line end, as openssl writes it, and a server that believes its tokens. */
async function world(test: Test): Promise<{ port: number; key: string }> {
  const key = join(test.testdir({}), 'token.key');
  writeFileSync(key, `${SECRET}\n`, { mode: 0o600 });
  const options = { workers: 1, tokenKey: [`HS256=${key}`], clientPublish: true };
  const { port } = await startComet(test, options);
  return { port, key };
}

/** The rights of a token of ada in a server. */
async function tryToken(test: Test, port: number, token: string): Promise<void> {
  const status = async (channel: string): Promise<number> => {
    const url = `http://127.0.0.1:${port}/poll?timeout=0&channel=${channel}`;
    return (await fetch(url, { headers: { Authorization: `Bearer ${token}` } })).status;
  };
  for (const channel of ['news/1', 'user/ada']) test.equal(await status(channel), 204, channel);
  for (const channel of ['user/eve', 'news', 'user/*']) {
    test.equal(await status(channel), 403, channel);
  }
  const client = new CommandClient(port, `/ws?token=${token}`);
  await client.open();
  for (const [id, channel] of ['user/ada', 'news/1'].entries()) {
    client.say(JSON.stringify({ type: 'publish', channel, data: 'x', id: String(id) }));
  }
  await until('both answers', () => client.told.length >= 2);
  const answerTo = (id: string): object =>
    client.told.map((text) => JSON.parse(text) as { id?: string }).find((one) => one.id === id) ??
    {};
  test.match(answerTo('0'), { type: 'published' });
  test.match(answerTo('1'), { error: /not allowed/ });
  client.close();
}

async function statusOf(port: number, token: string): Promise<number> {
  const url = `http://127.0.0.1:${port}/poll?timeout=0&channel=news/1&token=${token}`;
  return (await fetch(url)).status;
}

/** The token of a session, and the status. */
async function tokenOf(url: string, cookie: string): Promise<{ status: number; token: string }> {
  const response = await fetch(`${url}/token`, { headers: { Cookie: cookie } });
  const { token = '' } = (await response.json()) as { token?: string };
  return { status: response.status, token };
}

for (const program of ['backend.mjs', 'backend.py']) {
  t.test(`${program} issues tokens for users who are logged in`, async (t) => {
    const { port, key } = await world(t);
    const url = await startBackEnd(t, program, { TOKEN_KEY: key });
    const { status, token } = await tokenOf(url, 'theme=dark; session=4f2a');
    t.equal(status, 200);
    await tryToken(t, port, token);
    for (const cookie of ['', 'session=', 'session=5', 'xsession=4f2a', 'session=77']) {
      t.strictSame(await tokenOf(url, cookie), { status: 401, token: '' }, cookie);
    }
    t.match(await (await fetch(url)).text(), /new WebSocket/, 'and the page');
    const late = await startBackEnd(t, program, { TOKEN_KEY: key, TTL: '-60' });
    const expired = await tokenOf(late, 'session=4f2a');
    t.equal(await statusOf(port, expired.token), 401, 'an expired token is rejected');
  });
}

t.test('token.sh prints a token for a user', { skip: without('openssl') }, async (t) => {
  const { port, key } = await world(t);
  const print = (user: string, env = {}): { status: number | null; text: string } => {
    const { status, stdout } = spawnSync(join(folder, 'token.sh'), [user], {
      env: { ...process.env, TOKEN_KEY: key, ...env },
      encoding: 'utf8',
    });
    return { status, text: stdout.trim() };
  };
  await tryToken(t, port, print('ada').text);
  t.equal(await statusOf(port, print('ada', { TTL: '-60' }).text), 401, 'an expired token');
  for (const user of ['*', '', 'a"b', 'a/b']) t.same(print(user), { status: 2, text: '' }, user);
});
