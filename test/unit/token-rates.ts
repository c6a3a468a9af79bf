// The rate of each token: bursts of one second, debts of large takes, and a bounded table.
import t from 'tap';

import { TokenRates, TOKENS_MAX, TooFast } from '../../lib/broker/token-rates.js';

/** Takes until the rate rejects; returns the number of messages. */
function burst(rates: TokenRates, token: number | string): number {
  for (let count = 0; ; count++) {
    try {
      rates.take(token);
    } catch (error) {
      if (!(error instanceof TooFast)) throw error;
      return count;
    }
  }
}

t.test('a token has bursts of one second, and then its rate', (t) => {
  let nowMs = 5000;
  const rates = new TokenRates(10, () => nowMs);
  t.equal(burst(rates, 'a'), 10);
  t.equal(burst(rates, 'b'), 10, 'another token');
  nowMs += 99;
  t.equal(burst(rates, 'a'), 0);
  nowMs += 1;
  t.equal(burst(rates, 'a'), 1);
  nowMs += 500;
  t.equal(burst(rates, 'a'), 5);
  nowMs += 60_000;
  t.equal(burst(rates, 'a'), 10, 'not more after a silence');
  const error = { code: 'ERR_BUSY', message: /at most 10 a second are allowed/ };
  t.throws(() => {
    rates.take('a');
  }, error);
  t.end();
});

t.test('messages that are taken together are allowed together, and paid afterwards', (t) => {
  let nowMs = 0;
  const rates = new TokenRates(10, () => nowMs);
  rates.take('a', 30);
  nowMs = 2000;
  t.equal(burst(rates, 'a'), 0);
  nowMs = 2100;
  t.equal(burst(rates, 'a'), 1);
  t.end();
});

t.test('a rate of one, and none', (t) => {
  let nowMs = 0;
  const one = new TokenRates(1, () => nowMs);
  t.equal(burst(one, 'a'), 1);
  nowMs = 1000;
  t.equal(burst(one, 'a'), 1);
  const none = new TokenRates(0, () => nowMs);
  for (let count = 0; count < 10_000; count++) none.take('a', 1000);
  t.equal(none.size, 0);
  t.end();
});

t.test('the table forgets tokens whose second is over, and has a bound', (t) => {
  let nowMs = 0;
  const rates = new TokenRates(1, () => nowMs);
  for (let token = 1; token <= TOKENS_MAX + 10; token++) rates.take(token);
  t.equal(rates.size, TOKENS_MAX);
  t.equal(burst(rates, TOKENS_MAX), 0, 'a later one is known');
  rates.take(1);
  t.equal(rates.size, TOKENS_MAX, 'the first one is not');
  nowMs = 1001;
  rates.take('x');
  t.equal(rates.size, 1);
  t.end();
});
