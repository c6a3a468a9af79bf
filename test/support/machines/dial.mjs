// Opens connections from one address, one after the other, and holds them until it is killed. Prints
// the number of opened connections and the error that stopped it. Usage: node dial.mjs PORT MOST
import { createConnection } from 'node:net';

const HANGS_MS = 5000;
const [port, most] = process.argv.slice(2).map(Number);
const sockets = [];

/** Opens one connection; returns null or the error. */
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
