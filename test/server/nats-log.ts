// The tests of every log, with a real nats-server.
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import t from 'tap';

import { testLog } from '../support/log-conformance.js';
import { NatsServer, natsLog } from '../support/nats.js';
import { without } from '../support/requirements.js';

/** One server for all tests, and one stream for each. Batches of 1 MiB need a larger payload. */
let shared: Promise<NatsServer> | null = null;
let streams = 0;

testLog({
  name: 'NATS',
  skip: without('nats-server'),
  isShared: true,
  store: async () => {
    shared ??= NatsServer.start(t, { lines: ['max_payload: 2097152'] });
    const server = await shared;
    streams += 1;
    const name = `log-${streams}`;
    return {
      make: () => natsLog(server.url, { name }),
      forget: async (upTo) => {
        const connection = await connect({ servers: `127.0.0.1:${server.port}` });
        const manager = await jetstreamManager(connection);
        // The first message begins the epoch: the first entry is the second one.
        await manager.streams.purge(name, { seq: upTo + 2 });
        await connection.close();
        return upTo;
      },
      interrupt: async () => {
        await server.kill();
        return () => server.run();
      },
    };
  },
});
