// The tests of plain clients once more over TLS; each file brings its own. See tls-transports.ts.
import { reachOver } from '../support/comet-world.js';
import { routeOverTls } from '../support/tls-bridge.js';

reachOver(routeOverTls());

await import('./http-vectors.js');
await import('./mailbox.js');
await import('./websocket-commands.js');
await import('./websocket-handshake.js');
await import('./resume.js');
await import('./slow-clients.js');
await import('./vectors.js');
