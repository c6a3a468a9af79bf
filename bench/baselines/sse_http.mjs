// Server-Sent Events with Node's own `http`, as its manual suggests: a Set of responses, and a loop
// that writes to each. On SIGUSR2 one message goes to all. No channels.
import cluster from 'node:cluster';
import { createServer } from 'node:http';

import { announceWorkers, fork, message, readOptions } from './push.mjs';

const options = readOptions();

function runWorker({ port, backlog }) {
  const responses = new Set();
  const server = createServer((request, response) => {
    if (!request.url.startsWith('/events')) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.write('id: 0000000000000000.1\n\n');
    responses.add(response);
    response.on('close', () => responses.delete(response));
  });
  server.listen({ port, backlog });
  let number = 0;
  process.on('SIGUSR2', () => {
    number += 1;
    const event = `id: 0000000000000000.${number}\ndata: ${message(options)}\n\n`;
    for (const response of responses) response.write(event);
  });
}

if (cluster.isPrimary) announceWorkers(fork(options));
else runWorker(options);
