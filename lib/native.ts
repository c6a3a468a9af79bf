// Finds and loads the addon, and types what it exports. Level 1, and the only file that loads it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

import { MegacometError } from './errors.js';

export interface CounterInfo {
  /** In snake case, as in Prometheus text without the prefix. */
  readonly name: string;
  readonly kind: 'gauge' | 'total';
  readonly help: string;
}

export interface FrameInfo {
  readonly type: number;
  readonly name: string;
  readonly fields: readonly { readonly type: string; readonly name: string }[];
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
}

/** The shared stats segment; see native/segment.h. */
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
  readonly frames: readonly FrameInfo[];
  readonly bounds: {
    readonly slotsMax: number;
    readonly listenersMax: number;
    readonly descriptorReserve: number;
    readonly frameBytesMax: number;
    readonly messageBytesMax: number;
    readonly deadlineSecondsMax: number;
    readonly blockWords: number;
    readonly lagBuckets: number;
    readonly histogramSteps: number;
  };
  readonly Segment: new (slots: number) => Segment;
  openListener(request: ListenerRequest): OpenedListener;
  /** These return 0 or an errno value. */
  listenOn(fd: number, backlog: number): number;
  steer(fd: number, weights?: Uint32Array): number;
  shutDownListener(fd: number): void;
  closeDescriptor(fd: number): void;
  listenerPort(fd: number): number;
  forbidNewPrivileges(): void;
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

function findAddon(): string {
  const build = require('node-gyp-build') as { path(root: string): string };
  try {
    return build.path(packageRoot);
  } catch {
    throw new MegacometError(
      'ERR_ADDON_MISSING',
      `no addon for ${process.platform}-${process.arch} in ${packageRoot}: ` +
        'install libev-dev, then run "npm run build" there',
    );
  }
}

/** The addon's file, which worker processes load by path. */
export const addonPath = findAddon();

export const addon = require(addonPath) as Addon;

/** A name of the addon as TypeScript writes it: `accepted_total` becomes `acceptedTotal`. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
