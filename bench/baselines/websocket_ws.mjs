// WebSocket with the package `ws`, as its manual shows a broadcast: a loop over `server.clients`.
// On SIGUSR2 one message goes to all. No channels, no compression.
import cluster from 'node:cluster';

import { WebSocketServer } from 'ws';

import { announceWorkers, fork, message, readOptions } from './push.mjs';

const options = readOptions();
const SUBSCRIBED = '{"type":"subscribed","cursor":"0000000000000000.1","recovered":true}';

function runWorker({ port, backlog }) {
  const server = new WebSocketServer({ port, backlog });
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.send(SUBSCRIBED);
  });
  let number = 0;
  process.on('SIGUSR2', () => {
    number += 1;
    const cursor = `0000000000000000.${number}`;
    const fields = { type: 'message', channel: 'bench', cursor, data: message(options) };
    const text = JSON.stringify(fields);
    for (const socket of server.clients) socket.send(text);
  });
}

if (cluster.isPrimary) announceWorkers(fork(options));
else runWorker(options);
