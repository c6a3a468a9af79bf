// A back end that issues tokens for users who are logged in, with Node alone.
//
//   TOKEN_KEY=token.key SESSIONS=4f2a=ada node backend.mjs
//
// `GET /token` answers with a token for the user of the cookie `session`; `GET /` is a page that uses it.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { PORT = '3000', TOKEN_KEY = 'token.key', SESSIONS = '', TTL = '600' } = process.env;
// The secret is the content of the file without the line end.
const secret = readFileSync(TOKEN_KEY, 'utf8').replace(/\r?\n$/, '');
const page = readFileSync(new URL('index.html', import.meta.url));

// Replace this by the sessions of your site.
const sessions = new Map(SESSIONS.split(',').map((item) => item.split('=')));
function userOf(request) {
  const [, session] = /(?:^|; )session=([^;]*)/.exec(request.headers.cookie ?? '') ?? [];
  const user = sessions.get(session) ?? '';
  // A star in a grant is a pattern, so a user called `*` could read the channels of all users.
  return /^[\w-]{1,64}$/.test(user) ? user : undefined;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function createToken(user) {
  const now = Math.floor(Date.now() / 1000);
  const grants = { subscribe: ['news/*', `user/${user}`], publish: [`user/${user}`] };
  const claims = { sub: user, iat: now, exp: now + Number(TTL), grants };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

const server = createServer((request, response) => {
  if (request.url !== '/token') {
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
    return;
  }
  const user = userOf(request);
  const body = user === undefined ? { error: 'log in first' } : { token: createToken(user) };
  const fields = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' };
  response.writeHead(user === undefined ? 401 : 200, fields).end(JSON.stringify(body));
});
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
