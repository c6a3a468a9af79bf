// The tests of plain clients once more over TLS; each file brings its own. tls-transports.slow.ts has
// more of them.
import { reachOver } from '../support/comet-world.js';
import { routeOverTls } from '../support/tls-bridge.js';

reachOver(routeOverTls());

await import('./comet.js');
await import('./websocket-vectors.js');
