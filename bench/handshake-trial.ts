// One trial of TLS handshakes: starts a server with a certificate, and opens and closes connections
// to it. A separate process, like trial.ts. Its request is argv[2], its result stdout.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { runBench } from '../lib/bench/bench.js';
import type { Baselines } from './build-baselines.js';
import type { ServerCertificate } from './certificates.js';
import { startComet } from './comet-subjects.js';
import { nginxCommand, startSilent } from './silent-servers.js';
import type { ServingProcesses } from './subjects.js';
import { descriptors, takeSecondHalf, waitForClose } from './trial.js';
import { makeTls } from './trial-tls.js';

export const HANDSHAKE_SUBJECTS = ['megacomet', 'nginx', 'haproxy'] as const;
export type HandshakeSubject = (typeof HANDSHAKE_SUBJECTS)[number];

export interface HandshakeRequest {
  readonly subject: HandshakeSubject;
  readonly baselines: Baselines;
  /** Connections of each round. */
  readonly connections: number;
  readonly rounds: number;
  /** Whether all handshakes resume one session. */
  readonly resumes: boolean;
  /** Whether the server has one half of the cores, and the load the other half. */
  readonly isPinned: boolean;
}

export interface HandshakeResult {
  readonly subject: HandshakeSubject;
  readonly resumes: boolean;
  readonly failed: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Of each round. */
  readonly perSecond: readonly number[];
  readonly cpuUs: readonly number[];
  readonly stolenShare?: number;
}

/** Longer than a trial: the clients send no request. */
const TIMEOUT_SECONDS = 600;

interface Shape {
  readonly request: HandshakeRequest;
  readonly certificate: ServerCertificate;
  readonly cores: string | null;
}

function startNginx({ request, certificate, cores }: Shape): Promise<ServingProcesses> {
  const { nginx } = request.baselines;
  if (nginx === undefined) throw new Error('nginx is not installed');
  return startSilent((folder, port) => {
    writeFileSync(path.join(folder, 'server.crt'), certificate.cert);
    writeFileSync(path.join(folder, 'server.key'), certificate.key, { mode: 0o600 });
    const shape = {
      ...{ workers: 1, connections: request.connections, listen: ' ssl' },
      server: `
    ssl_certificate ${folder}/server.crt;
    ssl_certificate_key ${folder}/server.key;
    ssl_protocols TLSv1.3;
    client_header_timeout ${TIMEOUT_SECONDS}s;
    location / { return 200; }`,
    };
    return nginxCommand(nginx, shape, folder, port);
  }, cores);
}

/** HAProxy takes two descriptors for each, and does not start above the file limit. */
const SPARE_CONNECTIONS = 100;

function startHaproxy({ request, certificate, cores }: Shape): Promise<ServingProcesses> {
  const { haproxy } = request.baselines;
  if (haproxy === undefined) throw new Error('haproxy is not installed');
  return startSilent((folder, port) => {
    writeFileSync(path.join(folder, 'server.pem'), certificate.cert + certificate.key, {
      mode: 0o600,
    });
    const config = path.join(folder, 'haproxy.cfg');
    writeFileSync(
      config,
      `
global
  nbthread 1
  maxconn ${request.connections + SPARE_CONNECTIONS}
defaults
  mode http
  timeout connect 10s
  timeout client ${TIMEOUT_SECONDS}s
  timeout server ${TIMEOUT_SECONDS}s
frontend tls
  bind 127.0.0.1:${port} backlog 4096 ssl crt ${folder}/server.pem ssl-min-ver TLSv1.3
  http-request return status 200
`,
    );
    return [haproxy, '-db', '-q', '-f', config];
  }, cores);
}

function startServer(shape: Shape): Promise<ServingProcesses> {
  const { request, certificate, cores } = shape;
  switch (request.subject) {
    case 'megacomet':
      return startComet({
        ...{ subject: 'megacomet', baselines: request.baselines, transport: 'sse', workers: 1 },
        ...{ connections: request.connections, messageBytes: 1, hasAdmin: false },
        ...{ cores, certificate },
      });
    case 'nginx':
      return startNginx(shape);
    case 'haproxy':
      return startHaproxy(shape);
  }
}

async function runHandshakeTrial(request: HandshakeRequest): Promise<HandshakeResult> {
  const { subject, resumes, connections, rounds } = request;
  const cores = request.isPinned ? takeSecondHalf() : null;
  const { certificate, target } = makeTls(resumes);
  const server = await startServer({ request, certificate, cores });
  const all = [];
  try {
    await sleep(1500);
    const bare = descriptors(server.pids);
    while (all.length < rounds) {
      const options = {
        targets: [{ isUnix: false, host: '127.0.0.1', port: server.port }],
        ...{ connections, tls: target, rate: 0, processes: 'auto' as const, sources: [] },
        ...{ hold: 0, verify: false, active: 0, messageSize: 1, duration: 1, connectTimeout: 60 },
        ...{ admin: '', serverPids: server.pids, command: `bench/handshake-trial ${subject}` },
      };
      all.push(await runBench(options, () => undefined, new AbortController().signal));
      await waitForClose(server.pids, bare);
    }
  } finally {
    await server.stop();
  }
  return {
    ...{ subject, resumes },
    failed: all.reduce((sum, { failed }) => sum + failed, 0),
    failures: Object.assign({}, ...all.map(({ failures }) => failures)) as Record<string, number>,
    perSecond: all.map(({ ramp }) => ramp.connectionsPerSecond),
    cpuUs: all.map((one) => one.server?.cpuMicrosecondsPerAccept ?? NaN),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url) && process.argv[2] !== undefined) {
  const result = await runHandshakeTrial(JSON.parse(process.argv[2]) as HandshakeRequest);
  process.stdout.write(JSON.stringify(result));
}
