// The options of the broker, from the options of the server.
import t from 'tap';

import { brokerOptions } from '../../lib/server/broker-options.js';
import { fill } from '../../lib/server/server-options.js';

t.test('the limits of a publish without limits are those of the options', (t) => {
  const options = fill({
    protocol: 'comet',
    messageBytes: 1000,
    historyCount: 7,
    historyAge: 8,
    historyBytes: 2_000_000,
    mailboxTime: 9,
  });
  const limits = { count: 7, bytes: 2_000_000, ageMs: 8000 };
  t.same(brokerOptions(3, options), {
    slots: 3,
    closesCutOff: false,
    tokenLeewayS: null,
    messageBytesMax: 1000,
    history: limits,
    historyDefaults: limits,
    historyBytesMax: 2_000_000,
    mailboxTimeMs: 9000,
    namespaces: new Map(),
    publishesPerToken: 0,
  });
  t.end();
});

t.test(
  'a server without history has default limits for a publish that names only one of them',
  (t) => {
    const { history, historyDefaults } = brokerOptions(
      1,
      fill({ protocol: 'comet', historyCount: 0, historyAge: 60 }),
    );
    t.equal(history, null);
    t.same(historyDefaults, { count: 100, bytes: 262_144, ageMs: 60_000 });
    t.end();
  },
);
