// Opens connections from one address, one after the other, and holds them until it is ended. Prints
// how many were opened, and what stopped it. Usage: node dial.mjs PORT MOST
import { createConnection } from 'node:net';

const HANGS_MS = 5000;
const [port, most] = process.argv.slice(2).map(Number);
const sockets = [];

/** Null, or why there is no connection. */
function dial() {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const timer = setTimeout(() => resolve('HANGS'), HANGS_MS);
    const end = (error) => {
      clearTimeout(timer);
      resolve(error);
    };
    socket.on('error', (error) => end(error.code)).on('connect', () => end(null));
    sockets.push(socket);
  });
}

let error = null;
let opened = 0;
while (opened < most) {
  error = await dial();
  if (error !== null) break;
  opened++;
}
process.stdout.write(`${JSON.stringify({ opened, error })}\n`);
process.stdin.resume().on('end', () => process.exit());
