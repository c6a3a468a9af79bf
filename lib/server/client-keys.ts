// The keys of clients' tokens while a server runs: those of files, those of --token-jwks-url, and
// the workers that get them.
import {
  keyUrlOf,
  readAccess,
  withRemoteKeys,
  type AccessSettings,
} from '../access/access-rules.js';
import { requestKeys } from '../access/key-request.js';
import { KeyFetches, RemoteKeys } from '../access/remote-keys.js';
import { systemClock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import type { Frames } from '../ipc/frames.js';

/** The receivers of the keys. */
export interface KeyTakers {
  /** Rules and keys have changed. */
  onAccess(access: Frames['Access']): void;
  /** The keys were fetched because of an unknown one. */
  onChecked(seconds: number): void;
}

/** Milliseconds that a start waits for the keys, so that its first clients are not rejected. */
const START_WAIT_MS = 2000;

export class ClientKeys {
  readonly #settings: AccessSettings;
  readonly #takers: KeyTakers;
  readonly #remote: RemoteKeys | null;
  readonly #fetches = new KeyFetches();
  /** With the keys of files alone; null if nothing is said about access. */
  #files: Frames['Access'] | null;

  /** @throws MegacometError `ERR_OPTION_INVALID`. */
  constructor(settings: AccessSettings, takers: KeyTakers, log: Logger) {
    this.#settings = settings;
    this.#takers = takers;
    this.#files = readAccess(settings);
    const url = keyUrlOf(settings);
    const parts = {
      clock: systemClock,
      log,
      request: requestKeys,
      random: Math.random,
      onKeys: () => {
        this.#tell();
      },
      onChecked: (seconds: number) => {
        takers.onChecked(seconds);
      },
    };
    this.#remote = url === null ? null : new RemoteKeys({ ...parts, url }, this.#fetches);
  }

  /** The rules with all keys that are known; null if everybody may do everything. */
  get access(): Frames['Access'] | null {
    return this.#files === null ? null : withRemoteKeys(this.#files, this.#remote?.keys ?? null);
  }

  /** Metrics of the URL, for `messages` of the stats. */
  get counters(): Readonly<Record<string, number>> {
    return this.#fetches.counters;
  }

  /** Fetches the keys of the URL, and waits a moment for them. */
  async start(): Promise<void> {
    if (this.#remote === null) return;
    await new Promise<void>((resolve) => {
      const timer = systemClock.after(START_WAIT_MS, resolve);
      void this.#remote?.start().then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /**
   * Reads the files again, and fetches the keys of the URL. After an error the old keys stay.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  reload(): void {
    this.#files = readAccess(this.#settings);
    this.#tell();
    this.#remote?.reload();
  }

  /** A worker has met tokens whose key it does not know. */
  onUnknownKey(tokens: number): void {
    this.#remote?.onUnknownKey(tokens);
  }

  close(): void {
    this.#remote?.close();
  }

  #tell(): void {
    const { access } = this;
    if (access !== null) this.#takers.onAccess(access);
  }
}
