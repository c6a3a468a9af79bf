// No client reads a message, the history or the presence of a channel that it was not granted: random
// names, prefixes, patterns and grants over every transport, compared with a slow model.
import t from 'tap';

import { AccessCase, PUBLIC } from '../support/access-case.js';
import { Secret } from '../support/client-tokens.js';
import { startComet } from '../support/comet-world.js';
import { seededRandom } from '../support/random.js';

const CASES = Number(process.env['ACCESS_CASES'] ?? 12);

t.test('clients read the channels of their grants, and nothing else', async (t) => {
  const random = seededRandom(t);
  const secret = new Secret(t);
  const options = { tokenKey: [secret.option], public: PUBLIC, mailboxes: true, workers: 2 };
  const world = await startComet(t, options);
  for (let at = 0; at < CASES; at++) {
    const one = new AccessCase(world, secret, random);
    await one.run();
    t.same(one.faults, [], `case ${at}`);
    if (one.faults.length > 0) return;
  }
});
