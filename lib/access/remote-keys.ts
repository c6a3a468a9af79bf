// The keys of --token-jwks-url: fetched in time, kept while the issuer does not answer, and fetched
// again for a key that a worker does not know.
import type { Clock, Timer } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import { plainUrl } from '../base/shown-url.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { readKeySet, type KeySet } from './key-set.js';
import { KeyFetchError, type KeyAnswer, type KeyFetchCause } from './key-request.js';
import type { TokenKey } from './token-keys.js';

/** How long an answer is fresh: the issuer says it within bounds, or nothing. */
const FRESH_MS = { min: 60_000, usual: 600_000, max: 3_600_000 };
/** Kept keys serve for so long while the issuer does not answer. */
const STALE_MS = 24 * 3_600_000;
/** From one failed fetch to the next: doubled from the first to the last. */
const RETRY_MS = { first: 1000, last: 60_000 };
/** Between two fetches because of unknown keys: a client that invents names of keys causes them. */
const UNKNOWN_MS = 30_000;
/** Between two lines about the same failure. */
const LOG_MS = 600_000;

export interface RemoteKeysParts {
  readonly url: URL;
  readonly clock: Clock;
  readonly log: Logger;
  readonly request: (url: URL, closing: AbortSignal) => Promise<KeyAnswer>;
  /** A number from 0 up to 1. */
  readonly random: () => number;
  /** The keys have changed; null if they have been stale for too long. */
  readonly onKeys: (keys: readonly TokenKey[] | null) => void;
  /** They were fetched because of an unknown key, which for this time is not one of the issuer. */
  readonly onChecked: (seconds: number) => void;
}

function isSame(one: readonly TokenKey[] | null, other: readonly TokenKey[]): boolean {
  const textOf = ({ algorithm, keyId, bytes }: TokenKey): string =>
    JSON.stringify([algorithm, keyId, bytes.toString('base64')]);
  return one?.map(textOf).join() === other.map(textOf).join();
}

/** Fetches and failures, which a server without such a URL has none of. */
export class KeyFetches {
  static readonly METRICS = {
    jwksFetchesTotal: counter(
      'jwks_fetches_total',
      'Requests for the keys of --token-jwks-url.',
      (fetches: KeyFetches) => fetches.total,
    ),
    jwksFetchFailuresTotal: counter(
      'jwks_fetch_failures_total',
      'Requests for keys that failed; the causes follow. The log has the reason.',
      ({ failures }: KeyFetches) =>
        failures.content + failures.status + failures.timeout + failures.unreachable,
    ),
    jwksFetchFailuresContentTotal: counter(
      'jwks_fetch_failures_content_total',
      'Answers that are too large, compressed or not a JSON Web Key Set.',
      ({ failures }: KeyFetches) => failures.content,
    ),
    jwksFetchFailuresStatusTotal: counter(
      'jwks_fetch_failures_status_total',
      'Answers with another status than 200. A redirect is not followed.',
      ({ failures }: KeyFetches) => failures.status,
    ),
    jwksFetchFailuresTimeoutTotal: counter(
      'jwks_fetch_failures_timeout_total',
      'Requests for keys without a complete answer in 5 s.',
      ({ failures }: KeyFetches) => failures.timeout,
    ),
    jwksFetchFailuresUnreachableTotal: counter(
      'jwks_fetch_failures_unreachable_total',
      'Requests for keys whose name, connection or TLS failed.',
      ({ failures }: KeyFetches) => failures.unreachable,
    ),
    jwksUnknownKeysTotal: counter(
      'jwks_unknown_keys_total',
      'Tokens whose key was unknown, so that a worker reported it.',
      (fetches: KeyFetches) => fetches.unknownKeys,
    ),
    jwksKeys: gauge(
      'jwks_keys',
      'Keys of --token-jwks-url that verify tokens now.',
      (fetches: KeyFetches) => fetches.keys,
    ),
    jwksAgeSeconds: gauge(
      'jwks_age_seconds',
      'Seconds since the keys of --token-jwks-url were fetched; 0 without keys. 86,400 at most.',
      (fetches: KeyFetches) => fetches.ageS(),
    ),
  };

  total = 0;
  readonly failures: Record<KeyFetchCause, number> = {
    content: 0,
    status: 0,
    timeout: 0,
    unreachable: 0,
  };
  unknownKeys = 0;
  keys = 0;
  ageS: () => number = () => 0;

  get counters(): ValuesOf<typeof KeyFetches.METRICS> {
    return valuesOf(KeyFetches.METRICS, this);
  }
}

export class RemoteKeys {
  readonly #parts: RemoteKeysParts;
  readonly #fetches: KeyFetches;
  readonly #closing = new AbortController();
  /** Null before the first answer, and after a day without one. */
  #keys: readonly TokenKey[] | null = null;
  #fetchedAtMs = 0;
  #failuresInRow = 0;
  #logged: { cause: KeyFetchCause; atMs: number } | null = null;
  #ignored = '';
  #unknownAtMs = -Infinity;
  #running: Promise<void> | null = null;
  /** What to do when the present fetch has ended: its answer may be older than the reason. */
  #next: { isForUnknown: boolean } | null = null;
  #timer: Timer | undefined;
  #staleTimer: Timer | undefined;

  constructor(parts: RemoteKeysParts, fetches: KeyFetches) {
    this.#parts = parts;
    this.#fetches = fetches;
    fetches.ageS = (): number => this.#ageS();
  }

  /** The keys; null if none are known. */
  get keys(): readonly TokenKey[] | null {
    return this.#keys;
  }

  /** Fetches now, and from then on in time. Resolves when the first attempt has ended. */
  async start(): Promise<void> {
    this.reload();
    await this.#running;
  }

  /** Fetches now. */
  reload(): void {
    this.#fetch(false);
  }

  /** A worker has met tokens whose key it does not know. */
  onUnknownKey(tokens: number): void {
    this.#fetches.unknownKeys += tokens;
    const nowMs = this.#parts.clock.nowMs();
    if (nowMs - this.#unknownAtMs < UNKNOWN_MS) return;
    this.#unknownAtMs = nowMs;
    this.#fetch(true);
  }

  /** Ends a fetch, and starts no other. */
  close(): void {
    this.#closing.abort();
    this.#timer?.cancel();
    this.#staleTimer?.cancel();
  }

  #ageS(): number {
    if (this.#keys === null) return 0;
    return Math.floor((this.#parts.clock.nowMs() - this.#fetchedAtMs) / 1000);
  }

  #fetch(isForUnknown: boolean): void {
    if (this.#closing.signal.aborted) return;
    if (this.#running !== null) {
      this.#next = { isForUnknown: isForUnknown || this.#next?.isForUnknown === true };
      return;
    }
    this.#timer?.cancel();
    this.#running = this.#attempt(isForUnknown).finally(() => {
      this.#running = null;
      const next = this.#next;
      this.#next = null;
      if (next !== null) this.#fetch(next.isForUnknown);
    });
  }

  async #attempt(isForUnknown: boolean): Promise<void> {
    const { url, request, onChecked } = this.#parts;
    this.#fetches.total++;
    try {
      const answer = await request(url, this.#closing.signal);
      const set = await readKeySet(answer.text).catch((error: unknown) => {
        throw new KeyFetchError('content', `the answer ${(error as Error).message}`);
      });
      if (this.#closing.signal.aborted) return;
      this.#accept(set, answer.freshS);
      if (isForUnknown) onChecked(UNKNOWN_MS / 1000);
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      if (!(error instanceof KeyFetchError)) throw error;
      this.#fail(error);
    }
  }

  #accept({ keys, ignored }: KeySet, freshS: number | null): void {
    const { clock, log, onKeys } = this.#parts;
    const isChanged = !isSame(this.#keys, keys);
    const hadFailed = this.#failuresInRow > 0;
    this.#keys = keys;
    this.#fetches.keys = keys.length;
    this.#fetchedAtMs = clock.nowMs();
    this.#failuresInRow = 0;
    this.#logged = null;
    this.#waitForStale();
    const { min, usual, max } = FRESH_MS;
    const freshMs = freshS === null ? usual : freshS * 1000;
    this.#fetchAfter(Math.min(Math.max(freshMs, min), max));
    if (isChanged) onKeys(keys);
    if (isChanged || hadFailed) {
      log.info({ ...this.#names, keys: keys.length }, 'keys of the issuer fetched');
    }
    this.#warnOfIgnored(ignored);
  }

  /** Once for each different list. */
  #warnOfIgnored(ignored: readonly string[]): void {
    const text = ignored.join();
    if (text !== '' && text !== this.#ignored) {
      this.#parts.log.warn({ ...this.#names, ignored }, 'keys of the issuer verify no token');
    }
    this.#ignored = text;
  }

  #fail({ reason: cause, message }: KeyFetchError): void {
    const { clock, log, random } = this.#parts;
    this.#fetches.failures[cause]++;
    const waitMs = Math.min(RETRY_MS.first * 2 ** this.#failuresInRow, RETRY_MS.last);
    this.#failuresInRow++;
    // Randomised, so that servers that lost one issuer together do not return together.
    this.#fetchAfter(waitMs * (0.5 + random()));
    const nowMs = clock.nowMs();
    const isRepeated = this.#logged?.cause === cause && nowMs - this.#logged.atMs < LOG_MS;
    if (isRepeated) return;
    this.#logged = { cause, atMs: nowMs };
    const state = this.#keys === null ? { hasKeys: false } : { ageSeconds: this.#ageS() };
    log.warn({ ...this.#names, cause, err: message, ...state }, 'keys of the issuer not fetched');
  }

  #fetchAfter(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.after(ms, () => {
      this.#fetch(false);
    });
    this.#timer.unref();
  }

  #waitForStale(): void {
    this.#staleTimer?.cancel();
    this.#staleTimer = this.#parts.clock.after(STALE_MS, () => {
      this.#keys = null;
      this.#fetches.keys = 0;
      this.#parts.log.error(
        this.#names,
        'keys of the issuer are 24 hours old; they serve no longer',
      );
      this.#parts.onKeys(null);
    });
    this.#staleTimer.unref();
  }

  /** For each line of the log. */
  get #names(): { url: string } {
    return { url: plainUrl(this.#parts.url) };
  }
}
