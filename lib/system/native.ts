// Finds and loads the addon, and declares the types of its exports. No other file loads it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { MegacometError } from '../base/errors.js';
import { FRAME_FINGERPRINTS } from '../base/native-constants.js';

export interface CounterInfo {
  /** In snake case, as in Prometheus text without the prefix. */
  readonly name: string;
  readonly kind: 'gauge' | 'total';
  readonly help: string;
}

/** Result of binding: `fd` −1 and the errno and failed call otherwise. */
export interface OpenedListener {
  readonly fd: number;
  readonly error: number;
  readonly call: string;
}

export interface ListenerRequest {
  readonly host: string;
  readonly port: number;
  readonly isUnix: boolean;
  readonly v6Only: boolean;
  /** Not the first listener of its address. */
  readonly joins: boolean;
  readonly keepaliveS: number;
  readonly userTimeoutMs: number;
}

/** What an inherited socket is; `error` is an errno value, 0 where it can be served. */
export interface RegisteredListener {
  readonly error: number;
  readonly call: string;
  /** A numeric address, a path, or `@` and an abstract name. */
  readonly host: string;
  readonly port: number;
  readonly isUnix: boolean;
}

/** The shared stats segment; see native/ipc/segment.h. */
export interface Segment {
  readonly fd: number;
  /** Copies `blockWords` words per slot. */
  copy(target: BigUint64Array): void;
  /** Settles the accounts of a slot whose worker is dead. */
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
  /** Checks a listener that somebody else bound, and gives it the options of ours. */
  registerListener(fd: number, keepaliveS: number, userTimeoutMs: number): RegisteredListener;
  /** These return 0 or an errno value. */
  listenOn(fd: number, backlog: number): number;
  steer(fd: number, weights?: Uint32Array): number;
  shutDownListener(fd: number): void;
  closeDescriptor(fd: number): void;
  listenerPort(fd: number): number;
  forbidNewPrivileges(): void;
  /** False if one is left. */
  dropCapabilities(): boolean;
  /** One datagram to a unix socket, a path or `@NAME`; 0 or an errno value. Never waits. */
  notify(socket: string, text: string): number;
  runWorker(): number;
  runDialer(): number;
}

const packageFile = fileURLToPath(import.meta.resolve('#package.json'));
const require = createRequire(packageFile);

/** The folder that holds package.json, whether this file runs as source or compiled. */
export const packageRoot = dirname(packageFile);

/** The version of this package. */
export const packageVersion = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string })
  .version;

/** The error for an addon that is missing or does not load, with the command that builds it. */
function addonMissing(reason: string): MegacometError {
  const fix = `build it with: npm --prefix ${packageRoot} run build:native`;
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
    // Another C library, or libev is gone: the loader says which, in its first line.
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

/** A name of the addon as TypeScript writes it: `accepted_total` becomes `acceptedTotal`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
