// Tokens of clients that count no longer: kept until their end, for the workers that start later.
import { checkInteger, checkText } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { counter, gauge } from '../base/metric.js';
import { REVOCATIONS_MAX, TOKEN_NAME_BYTES_MAX } from '../base/native-constants.js';
import { encodeFrame } from '../ipc/frame-codecs.js';

/** Whose tokens count no longer, and which of them. */
export interface Revocation {
  /** The user (claim `sub`) of the tokens; either this or `id`. */
  readonly user?: string;
  /** The claim `jti` of one token. */
  readonly id?: string;
  /**
   * Tokens are revoked that were issued (claim `iat`) at or before this time, in seconds of the
   * epoch; default now, and `tokenLeeway` for issuers whose clock is ahead. Those without `iat`
   * always are.
   */
  readonly beforeSeconds?: number;
  /**
   * Seconds for which the server rejects the tokens: at least the longest life of a token. Default
   * and maximum 2,678,400, 31 days.
   */
  readonly keepSeconds?: number;
}

const KEEP_SECONDS_MAX = 31 * 86_400;
/** Frames have 32 bits. */
const SECONDS_MAX = 0xffff_ffff;

/** A revocation whose times are decided. */
export interface RevocationRow {
  readonly user: string;
  readonly id: string;
  readonly beforeS: number;
  readonly endsAtS: number;
}

/** Names the user or the token of a revocation. */
export function keyOf({ user, id }: RevocationRow): string {
  return user === '' ? `id ${id}` : `user ${user}`;
}

/** No room for another revocation: a retry fails until the first of them ends, perhaps for days. */
export class RevocationsFull extends MegacometError {
  constructor() {
    super('ERR_BUSY', `revoke: ${REVOCATIONS_MAX} revocations are kept, no more fit`);
  }
}

export class Revocations {
  static readonly METRICS = {
    revocations: gauge(
      'revocations',
      `Revoked users and tokens that are kept, at most ${REVOCATIONS_MAX}. Near that number, ` +
        'revoke with a shorter keepSeconds.',
      (revocations: Revocations) => revocations.#kept(),
    ),
    revocationsRejectedTotal: counter(
      'revocations_rejected_total',
      `Revocations rejected with ERR_BUSY, because ${REVOCATIONS_MAX} are kept.`,
      (revocations: Revocations) => revocations.#rejected,
    ),
  };

  /** By kind and name. */
  readonly #rows = new Map<string, RevocationRow>();
  readonly #leewayS: number | null;
  readonly #nowS: () => number;
  #rejected = 0;

  /** @param leewayS - `tokenLeeway`; null for a server without users. */
  constructor(leewayS: number | null, nowS: () => number = () => Math.floor(Date.now() / 1000)) {
    this.#leewayS = leewayS;
    this.#nowS = nowS;
  }

  get size(): number {
    return this.#rows.size;
  }

  /**
   * Checks a revocation, and decides its times.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  rowOf({ user, id, ...times }: Revocation): RevocationRow {
    if ((user === undefined) === (id === undefined)) {
      throw new MegacometError('ERR_OPTION_INVALID', 'revoke: either user or id is required');
    }
    this.checkHasUsers('revoke');
    const nowS = this.#nowS();
    const { beforeSeconds = nowS + (this.#leewayS ?? 0), keepSeconds = KEEP_SECONDS_MAX } = times;
    const [kind, name] = user === undefined ? (['id', id] as const) : (['user', user] as const);
    checkText(`revoke: ${kind}`, name, TOKEN_NAME_BYTES_MAX);
    checkInteger('revoke: beforeSeconds', beforeSeconds, 0, SECONDS_MAX);
    checkInteger('revoke: keepSeconds', keepSeconds, 1, KEEP_SECONDS_MAX);
    return {
      ...{ user: user ?? '', id: id ?? '' },
      beforeS: beforeSeconds,
      endsAtS: nowS + keepSeconds,
    };
  }

  /**
   * Keeps a revocation. With an earlier one of the same user or token, the later times of both count.
   *
   * @returns The frame for the workers; null if they know this already.
   * @throws MegacometError `ERR_BUSY` if too many are kept.
   */
  put({ user, id, ...times }: RevocationRow): Buffer | null {
    const key = keyOf({ user, id, ...times });
    const known = this.find(key);
    if (known === undefined) this.#makeRoom(this.#nowS());
    else if (times.beforeS <= known.beforeS && times.endsAtS <= known.endsAtS) return null;
    const row = {
      ...{ user, id },
      beforeS: Math.max(times.beforeS, known?.beforeS ?? 0),
      endsAtS: Math.max(times.endsAtS, known?.endsAtS ?? 0),
    };
    this.#rows.set(key, row);
    return encodeFrame('Revoke', row);
  }

  /** The revocation of a user or a token; undefined if it has ended. */
  find(key: string): RevocationRow | undefined {
    const row = this.#rows.get(key);
    return row === undefined || row.endsAtS <= this.#nowS() ? undefined : row;
  }

  /** @throws MegacometError `ERR_OPTION_INVALID` where the server knows no users. */
  checkHasUsers(call: string): void {
    if (this.#leewayS !== null) return;
    const reason =
      'the server reads no tokens or certificates and has no hook, so its clients have no user';
    throw new MegacometError('ERR_OPTION_INVALID', `${call}: ${reason}`);
  }

  /** The frames of all revocations that have not ended, for a worker that starts. */
  frames(): Buffer[] {
    this.#forgetEnded(this.#nowS());
    return [...this.#rows.values()].map((row) => encodeFrame('Revoke', row));
  }

  /** Revocations that have not ended. */
  #kept(): number {
    this.#forgetEnded(this.#nowS());
    return this.#rows.size;
  }

  #makeRoom(nowS: number): void {
    if (this.#rows.size < REVOCATIONS_MAX) return;
    this.#forgetEnded(nowS);
    if (this.#rows.size < REVOCATIONS_MAX) return;
    this.#rejected++;
    throw new RevocationsFull();
  }

  #forgetEnded(nowS: number): void {
    for (const [key, { endsAtS }] of this.#rows) {
      if (endsAtS <= nowS) this.#rows.delete(key);
    }
  }
}
