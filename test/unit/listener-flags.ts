// The addresses that an option names, among those that a server listens on.
import t from 'tap';

import { parseAddress } from '../../lib/base/address.js';
import { ListenerFlag } from '../../lib/ipc/frames.js';
import { listenerFlags } from '../../lib/server/listener-flags.js';
import { fill } from '../../lib/server/server-options.js';

const ON = ListenerFlag.proxyHeader;

function flagsOf(
  proxyProtocol: boolean | readonly string[],
  listen: readonly string[],
  hasIpv6 = true,
): readonly number[] {
  const addresses = listen.map((text) => parseAddress('listen', text));
  const options = fill({ proxyProtocol, trustedProxies: ['unix'] });
  return listenerFlags(options, addresses, hasIpv6);
}

t.test('an address is named in any form that --listen takes', (t) => {
  const listen = ['[::]:80', '127.0.0.1:81', 'unix:/a', '[::1]:82', '127.0.0.2:0', '127.0.0.2:0'];
  const rows: readonly [readonly string[], readonly number[]][] = [
    [[':80'], [ON, 0, 0, 0, 0, 0]],
    [['localhost:81'], [0, ON, 0, 0, 0, 0]],
    [
      ['unix:/a', '[::1]:82', 'unix:/a'],
      [0, 0, ON, ON, 0, 0],
    ],
    // The kernel chooses different ports for the two.
    [['127.0.0.2:0'], [0, 0, 0, 0, ON, ON]],
    [listen, [ON, ON, ON, ON, ON, ON]],
  ];
  for (const [names, wanted] of rows) t.same(flagsOf(names, listen), wanted, names.join());
  t.same(flagsOf(true, listen), [ON, ON, ON, ON, ON, ON]);
  t.same(flagsOf(false, listen), [0, 0, 0, 0, 0, 0]);
  t.same(flagsOf(true, []), []);
  t.end();
});

t.test('an IPv6 wildcard names 0.0.0.0 where the kernel has no IPv6', (t) => {
  t.same(flagsOf([':80'], ['0.0.0.0:80'], false), [ON]);
  t.throws(() => flagsOf([':80'], ['0.0.0.0:80']), { code: 'ERR_OPTION_INVALID' });
  t.end();
});

t.test('a name of no address is an error with the addresses', (t) => {
  for (const name of ['127.0.0.1:80', '[::1]:81', 'unix:/b', '127.0.0.2:81']) {
    t.throws(() => flagsOf(['unix:/a', name], ['127.0.0.1:81', 'unix:/a']), {
      code: 'ERR_OPTION_INVALID',
      message: `proxy-protocol: "${name}" is not an address that the server listens on, which are 127.0.0.1:81, unix:/a`,
    });
  }
  t.end();
});
