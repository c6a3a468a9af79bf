// Addresses as text, and the addresses that the options of a server name.
import t from 'tap';

import {
  formatAddress,
  formatAddresses,
  formatServer,
  parseAddress,
  parsePeer,
  type Address,
} from '../../lib/base/address.js';
import { silentLogger } from '../../lib/base/logger.js';
import { configuredAddresses } from '../../lib/server/configured-addresses.js';

t.test('an address has one text, which parses to the same address', (t) => {
  const rows: [string, Address][] = [
    ['127.0.0.1:80', { isUnix: false, host: '127.0.0.1', port: 80 }],
    ['[::1]:65535', { isUnix: false, host: '::1', port: 65_535 }],
    ['unix:/run/x:1', { isUnix: true, host: '/run/x:1', port: 0 }],
  ];
  for (const [text, address] of rows) {
    t.same(parseAddress('listen', text), address, text);
    t.equal(formatAddress(address), text, text);
  }
  t.end();
});

t.test('a text that is not an address is rejected, with option, value and rule', (t) => {
  const texts = ['', '80', 'unix:', 'nowhere:80', '::1:80', '[127.0.0.1]:80', '1.2.3.4:65536'];
  for (const text of [...texts, 'http://1.2.3.4:80', '1.2.3.4', '1.2.3.4:80/', ' 1.2.3.4:80']) {
    t.throws(
      () => parseAddress('listen', text),
      {
        code: 'ERR_OPTION_INVALID',
        message: `listen: "${text}" is not a numeric HOST:PORT, [V6]:PORT, :PORT or unix:PATH`,
      },
      text,
    );
  }
  const message = 'target: "unix:/x" is not a numeric HOST:PORT, [V6]:PORT or :PORT';
  t.throws(() => parseAddress('target', 'unix:/x', false), { message });
  t.same(parseAddress('listen', 'localhost:80'), { isUnix: false, host: '127.0.0.1', port: 80 });
  t.same(parseAddress('listen', ':80'), { isUnix: false, host: '::', port: 80 });
  t.end();
});

t.test('a server to ask is HOST:PORT, also by name; other forms are rejected', (t) => {
  const rows: [string, string][] = [
    ['127.0.0.1:9001', '127.0.0.1:9001'],
    ['[::1]:9001', '[::1]:9001'],
    ['localhost:9001', 'localhost:9001'],
    ['megacomet.default.svc:9001', 'megacomet.default.svc:9001'],
    ['my_service:9001', 'my_service:9001'],
    ['http://127.0.0.1:9001', '127.0.0.1:9001'],
    ['HTTP://localhost:9001/', 'localhost:9001'],
    [':9001', '127.0.0.1:9001'],
  ];
  rows.push(['https://admin.example.com:9001/', 'https://admin.example.com:9001']);
  rows.push(['HTTPS://[::1]:9001', 'https://[::1]:9001'], ['tls::9001', 'https://127.0.0.1:9001']);
  rows.push(['unix:/run/a', 'unix:/run/a']);
  for (const [text, wanted] of rows)
    t.equal(formatServer(parsePeer('--admin', text)), wanted, text);
  const rejected = [
    '',
    '9001',
    '127.0.0.1',
    'localhost',
    '::1',
    'ftp://127.0.0.1:9001',
    'tls:9001',
  ];
  rejected.push('127.0.0.1:9001/stats', 'localhost:9001//', 'user@localhost:9001', '1.2.3:9001');
  rejected.push('21001:80', '0x7f.1:80', 'a:b:1', 'localhost:0', 'localhost:65536', 'a b:1', '-:1');
  for (const text of rejected) {
    t.throws(
      () => parsePeer('--admin', text),
      { message: `--admin: "${text}" is not HOST:PORT, such as 127.0.0.1:9001` },
      text,
    );
  }
  t.end();
});

t.test('consecutive ports of one host are formatted as a range', (t) => {
  const rows: [string[], string][] = [
    [[], ''],
    [['[::]:8000'], '[::]:8000'],
    [['[::]:8000', '[::]:8001', '[::]:8002'], '[::]:8000-8002'],
    [['1.2.3.4:1', '[::]:2', '[::]:3', '[::]:5'], '1.2.3.4:1, [::]:2-3, [::]:5'],
    [['unix:/a:1', 'unix:/a:2', '[::]:1', '[::]:1'], 'unix:/a:1, unix:/a:2, [::]:1, [::]:1'],
  ];
  for (const [addresses, wanted] of rows) t.equal(formatAddresses(addresses), wanted);
  t.end();
});

t.test('host and port name an address for each port of a range', (t) => {
  const rows: [Parameters<typeof configuredAddresses>[0], string[]][] = [
    [{ host: '::1', port: '8000-8002' }, ['[::1]:8000', '[::1]:8001', '[::1]:8002']],
    [{ host: '127.0.0.1', port: 0 }, ['127.0.0.1:0']],
    [{ host: '::', port: 1, listen: ['unix:x', '[::]:2'] }, ['unix:x', '[::]:2']],
  ];
  for (const [options, wanted] of rows) {
    t.same(configuredAddresses(options, true, silentLogger).map(formatAddress), wanted);
  }
  t.end();
});

t.test('without IPv6 in the kernel 0.0.0.0 replaces ::, with a warning', (t) => {
  const warnings: string[] = [];
  const log = { ...silentLogger, warn: (_: object, text: string) => void warnings.push(text) };
  const addresses = configuredAddresses({ host: '::', port: 80 }, false, log);
  t.same(addresses.map(formatAddress), ['0.0.0.0:80']);
  t.same(warnings, ['this kernel has no IPv6; listening on 0.0.0.0 instead of ::']);
  t.same(configuredAddresses({ host: '::', port: 80 }, true, log).map(formatAddress), ['[::]:80']);
  t.equal(warnings.length, 1, 'no warning where the kernel has IPv6');
  t.end();
});
