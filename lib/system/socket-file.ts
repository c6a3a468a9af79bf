// The file of a unix socket: a stale one is replaced, that of a running server is not.
import { lstatSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { getSystemErrorName } from 'node:util';

import { addon } from './native.js';

/** Permissions, owner and group of the file of a unix socket; −1 keeps what bind() makes. */
export interface SocketFile {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Removes the file of a socket, and no other file. */
export function removeSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Removed already, or not permitted: the next bind reports that.
  }
}

/** Milliseconds to wait for another server that starts in the same folder, and between two looks. */
const LOCK_WAIT_MS = 2000;
const LOCK_POLL_MS = 10;

/**
 * Locks the folder of a path; null where that is not possible. A folder that stays locked does not
 * stop the start: any program that can read a folder may lock it.
 */
async function lockFolderOf(path: string): Promise<number | null> {
  if (path.startsWith('@')) return null;
  const end = performance.now() + LOCK_WAIT_MS;
  for (;;) {
    const result = addon.lockFolder(dirname(path));
    if (result >= 0) return result;
    if (getSystemErrorName(result) !== 'EAGAIN' || performance.now() > end) return null;
    await sleep(LOCK_POLL_MS);
  }
}

/** Removes a socket file without a listener, which a crashed server leaves behind. */
async function removeStaleSocket(path: string): Promise<void> {
  const isStale = await new Promise<boolean>((resolve) => {
    const probe = createConnection({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code === 'ECONNREFUSED');
    });
  });
  if (isStale) removeSocket(path);
}

/**
 * Binds a path. It removes the socket file of a crashed server before, while no other server does so
 * in that folder.
 */
export async function atFreePath<Bound>(path: string, bind: () => Bound): Promise<Bound> {
  const lock = await lockFolderOf(path);
  try {
    await removeStaleSocket(path);
    return bind();
  } finally {
    if (lock !== null) addon.closeDescriptor(lock);
  }
}
