// Finds and loads the addon, and declares the types of its exports. No other file loads it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

import { MegacometError } from '../base/errors.js';
import { shellWord } from '../base/shell-word.js';
import { FRAME_FINGERPRINTS } from '../base/native-constants.js';

export interface CounterInfo {
  /** In snake case, as in Prometheus text without the prefix. */
  readonly name: string;
  readonly kind: 'gauge' | 'total';
  readonly help: string;
}

/** Result of openListener(): a descriptor, or −1 with the errno value and the failed call. */
export interface OpenedListener {
  readonly fd: number;
  readonly error: number;
  readonly call: string;
}

export interface ListenerRequest {
  readonly host: string;
  readonly port: number;
  readonly isUnix: boolean;
  /** Permissions, owner and group of the file of a unix socket; −1 keeps what bind() makes. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly v6Only: boolean;
  /** Whether it joins the SO_REUSEPORT group of an earlier listener of the same address. */
  readonly joins: boolean;
  /** Peers that the first listener of an address may queue; it listens at once. */
  readonly backlog: number;
  readonly keepaliveS: number;
  readonly userTimeoutMs: number;
}

/** The address of an inherited socket; `error` is an errno value, or 0 if it can be served. */
export interface RegisteredListener {
  readonly error: number;
  readonly call: string;
  /** A numeric address, a path, or `@` and an abstract name. */
  readonly host: string;
  readonly port: number;
  readonly isUnix: boolean;
}

/** A value that no honest worker writes into its stats. */
export interface StatsFault {
  readonly slot: number;
  readonly field: string;
  readonly value: bigint;
}

/** The manager's view of the stats of all workers; see native/ipc/segment.h. */
export interface Segment {
  /** The descriptor of the memory that all workers share, which every worker inherits. */
  readonly sharedFd: number;
  /** Makes the stats of a slot's next worker; returns the descriptor that it inherits, or −errno. */
  renew(slot: number): number;
  /** Closes that descriptor. */
  endRenewal(slot: number): void;
  /** Makes one of the two sets of limit tables zero again. */
  clearLimits(set: number): void;
  /** Copies the believed values, `blockWords` words per slot. */
  copy(target: BigUint64Array): void;
  /** The faults that copy() found after the last call. */
  takeFaults(): StatsFault[];
  /** Sets the connections that a worker may hold; returns the number that holds from now on. */
  grant(slot: number, allowance: number): number;
  /** Reconciles the slot of a dead worker: its connections count as closed by the crash. */
  retire(slot: number): void;
  close(): void;
}

export interface Addon {
  readonly version: string;
  readonly layoutHash: bigint;
  readonly counters: readonly CounterInfo[];
  /** Fingerprints of native/ipc/frames.h and load_frames.h; see {@link checkFingerprint}. */
  readonly framesFingerprint: number;
  readonly loadFramesFingerprint: number;
  readonly sizes: {
    /** Words of a block of the stats segment. */
    readonly blockWords: number;
    readonly lagBuckets: number;
    /** Buckets of a histogram for each doubling of the value. */
    readonly histogramSteps: number;
  };
  readonly Segment: new (slots: number) => Segment;
  openListener(request: ListenerRequest): OpenedListener;
  /** Checks an inherited listener, and sets the same options as openListener(). */
  registerListener(fd: number, keepaliveS: number, userTimeoutMs: number): RegisteredListener;
  /** Locks a folder without waiting; returns the descriptor that holds the lock, or −errno. */
  lockFolder(path: string): number;
  /** Starts listening; returns 0 or an errno value. */
  listenOn(fd: number, backlog: number): number;
  /** Sets the steering weights of a group of listeners; returns 0 or an errno value. */
  steer(fd: number, weights?: Uint32Array): number;
  shutDownListener(fd: number): void;
  closeDescriptor(fd: number): void;
  listenerPort(fd: number): number;
  forbidNewPrivileges(): void;
  /** Makes this process unreadable for other processes of its user: no core dump, no ptrace. */
  forbidTracing(): void;
  /**
   * Until endSpawn() a child inherits no descriptor that it is not given, and no capability if
   * `dropsCapabilities`. endSpawn() takes what guardSpawn() returned, and restores it.
   */
  guardSpawn(dropsCapabilities: boolean): number;
  endSpawn(securebits: number): void;
  /** False if a capability is left. */
  dropCapabilities(): boolean;
  /** Sends one datagram to a unix socket (a path or `@NAME`) without waiting; 0 or an errno value. */
  notify(socket: string, text: string): number;
  /** The first function of OpenSSL that this build of Node does not export; empty if it has all. */
  missingOpensslFunction(): string;
  /** The same for the functions of TLS. */
  missingOpensslTlsFunction(): string;
  /** Returns free memory of the heap to the kernel. */
  trimHeap(): void;
  runWorker(): number;
  runDialer(): number;
}

const packageFile = createRequire(import.meta.url).resolve('#package.json');
const require = createRequire(packageFile);

/** The folder of package.json, for this file as source and compiled. */
export const packageRoot = dirname(packageFile);

/** The version of this package. */
export const packageVersion = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string })
  .version;

/** The error for an addon that is missing or does not load, with the command that builds it. */
function addonMissing(reason: string): MegacometError {
  const fix = `build it with: npm --prefix ${shellWord(packageRoot)} run build:native`;
  return new MegacometError('ERR_ADDON_MISSING', `${reason}; ${fix}`);
}

function findAddon(): string {
  const build = require('node-gyp-build') as { path(root: string): string };
  try {
    return build.path(packageRoot);
  } catch {
    throw addonMissing(`no addon for ${process.platform}-${process.arch} in ${packageRoot}`);
  }
}

/**
 * Checks that the addon and the generated list of frames come from the same header.
 *
 * @throws MegacometError `ERR_ADDON_MISSING`.
 */
export function checkFingerprint(header: keyof typeof FRAME_FINGERPRINTS, actual: number): void {
  if (actual === FRAME_FINGERPRINTS[header]) return;
  throw addonMissing(`the addon was built from another native/ipc/${header}`);
}

function requireAddon(path: string): Addon {
  try {
    return require(path) as Addon;
  } catch (error) {
    // The first line of the loader's message names the cause, such as a missing libev.
    const reason = (error as Error).message.split('\n')[0] ?? '';
    throw addonMissing(`the addon cannot be loaded: ${reason}`);
  }
}

function loadAddon(path: string): Addon {
  const loaded = requireAddon(path);
  checkFingerprint('frames.h', loaded.framesFingerprint);
  checkFingerprint('load_frames.h', loaded.loadFramesFingerprint);
  return loaded;
}

/** The file of the addon, which worker processes load by path. */
export const addonPath = findAddon();

export const addon = loadAddon(addonPath);

/** A name of the addon in camel case: `accepted_total` becomes `acceptedTotal`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
