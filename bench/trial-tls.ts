// TLS of one trial: an authority of its own, and the settings of the server and of the dialers.
import type { KeyPairKeyObjectResult } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { TlsTarget } from '../lib/bench/tls-target.js';
import { Authority, filesOf, type ServerCertificate } from './certificates.js';

export interface TrialTls {
  /** For 127.0.0.1. */
  readonly certificate: ServerCertificate;
  readonly target: TlsTarget;
}

/** @param pair - The key of the server; P-256 without it. */
export function makeTls(resumes = false, pair?: KeyPairKeyObjectResult): TrialTls {
  const authority = new Authority();
  return {
    certificate: authority.certify(undefined, undefined, pair),
    target: { authorities: authority.cert, verifies: true, serverName: null, resumes },
  };
}

/** Calls `use` with the options of `serve` for the certificate, whose files exist meanwhile. */
export async function withFiles<Result>(
  certificate: ServerCertificate | null,
  use: (args: readonly string[]) => Promise<Result>,
): Promise<Result> {
  if (certificate === null) return use([]);
  const folder = mkdtempSync(path.join(tmpdir(), 'megacomet-bench-'));
  try {
    return await use(filesOf(folder, certificate));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
