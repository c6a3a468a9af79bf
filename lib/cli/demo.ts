// The page of `serve --demo`: it subscribes to a channel of the comet server, and publishes to it.
// A small server of its own, on loopback, so that the page has an origin that the server allows.
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { MegacometError } from '../base/errors.js';
import { reasonOf } from '../base/reason.js';

type Flags = Readonly<Record<string, unknown>>;

const HOST = '127.0.0.1';
const METHODS = new Set(['GET', 'HEAD']);

const SCRIPT = `
const { address } = document.body.dataset;
const list = document.querySelector('ul');
const state = document.querySelector('p');
const show = (text) => list.prepend(Object.assign(document.createElement('li'), { textContent: text }));
// EventSource reconnects by itself, and receives the messages that it missed.
const source = new EventSource('http://' + address + '/events?channel=demo');
source.onopen = () => (state.textContent = 'connected to ' + address);
source.onerror = () => (state.textContent = 'waiting for ' + address);
source.onmessage = ({ data }) => show(data);
const showGap = () => show('(messages are gone)');
source.addEventListener('megacomet.gap', showGap);
source.addEventListener('megacomet.lost', showGap);
const socket = new WebSocket('ws://' + address + '/ws?channel=demo-publisher');
document.querySelector('form').onsubmit = (event) => {
  event.preventDefault();
  const { text } = event.target.elements;
  socket.send(JSON.stringify({ type: 'publish', channel: 'demo', data: text.value }));
  text.value = '';
};
`;

/** The page of a comet server at `address`, as `HOST:PORT`. */
export function demoPage(address: string): string {
  const hash = createHash('sha256').update(SCRIPT).digest('base64');
  const policy =
    `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; ` +
    `img-src data:; connect-src http://${address} ws://${address}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>megacomet-ts demo</title>
<link rel="icon" href="data:,">
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto }</style>
</head>
<body data-address="${address}">
<h1>megacomet-ts demo</h1>
<p>connecting</p>
<form><input name="text" required autofocus> <button>Publish</button></form>
<ul></ul>
<p>Open this page in a second window, or subscribe with <code>curl -N
'http://${address}/events?channel=demo'</code></p>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

export interface Demo {
  /** Flags of a comet server for this page; those of the user win. */
  readonly flags: Flags;
  /** Serves the page of the server at this port. Returns the address of the page. */
  show(port: number): string;
  close(): void;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new MegacometError('ERR_LISTEN', `--demo: cannot listen: ${reasonOf(error)}`));
    });
    server.listen(0, HOST, () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/**
 * Starts the server of the page, on loopback only. The comet server of the flags is on loopback,
 * too, unless the user chose an address.
 *
 * @throws MegacometError `ERR_LISTEN`, `ERR_OPTION_INVALID`
 */
export async function startDemo(flags: Flags): Promise<Demo> {
  const { protocol = 'comet' } = flags;
  if (protocol !== 'comet') {
    throw new MegacometError('ERR_OPTION_INVALID', '--demo: requires --protocol comet');
  }
  let page = '';
  const server = createServer((request, response) => {
    const isPage = request.url === '/' && METHODS.has(request.method ?? '');
    response.writeHead(isPage ? 200 : 404, {
      'Content-Type': 'text/html; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
    });
    response.end(isPage ? page : '');
  });
  const own = await listen(server);
  // The page must not keep the process alive after a drain.
  server.unref();
  const origins = (flags['origin'] as readonly string[] | undefined) ?? [];
  return {
    flags: {
      ...(flags['listen'] === undefined && { host: HOST }),
      clientPublish: true,
      ...flags,
      protocol,
      origin: [...origins, `http://${HOST}:${own}`],
    },
    show: (port) => {
      page = demoPage(`${HOST}:${port}`);
      return `http://${HOST}:${own}/`;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
