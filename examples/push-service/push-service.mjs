// A push service: it sends each line of its standard input to the subscribers of the channel `news`.
//
//   tail -f /var/log/syslog | PORT=8000 ORIGINS=https://app.example node push-service.mjs
import { createInterface } from 'node:readline';

import { createServer } from 'megacomet-ts';

const { PORT = '8000', ORIGINS = '' } = process.env;
const server = createServer({
  protocol: 'comet',
  port: Number(PORT),
  // Origins of pages that may subscribe; those of this server's own origin always may.
  ...(ORIGINS === '' ? {} : { origin: ORIGINS.split(',') }),
});
await server.listen();
console.log(`listening on ${server.addresses.join(', ')}`);

for await (const line of createInterface({ input: process.stdin })) {
  const { cursor, delivered } = await server.publish('news', line);
  console.log(`${cursor} to ${delivered} subscribers`);
}
// Evenly over two seconds, so that the clients do not all reconnect at once.
await server.close({ drainMs: 2000 });
