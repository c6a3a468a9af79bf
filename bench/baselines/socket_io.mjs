// A node of Socket.IO with its Redis adapter, as their manuals show it: clients join the room that
// the query names, and POST /publish emits one event for each JSON line of its body.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    redis: { type: 'string' },
    /** A file in the folder whose node_modules has the packages. */
    modules: { type: 'string' },
  },
});
const require = createRequire(values.modules);
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-adapter');
const { Redis } = require('ioredis');

/** Longer than a trial, because its clients do not answer pings. */
const PING_MS = 600_000;

const clients = [0, 1].map(() => {
  const client = new Redis(values.redis);
  client.on('error', () => undefined);
  return client;
});

const server = createServer((request, response) => {
  text(request).then(
    (body) => {
      for (const line of body.split('\n')) {
        const { channel, data } = JSON.parse(line);
        io.to(channel).emit('message', data);
      }
      response.end('{}');
    },
    () => response.destroy(),
  );
});
const io = new Server(server, {
  transports: ['websocket'],
  pingInterval: PING_MS,
  adapter: createAdapter(...clients),
});
io.on('connection', (socket) => socket.join(socket.handshake.query.channel));
server.listen(Number(values.port), '127.0.0.1', () => console.log(`ready ${process.pid}`));
