// Asks the application about clients without a token, for all workers: within a second, and about a
// bounded number at the same time. Nothing is queued: a request above the bound is rejected, and
// the client retries.
import type { Authorize, AuthorizeAction, AuthorizeRequest } from '../base/authorize.js';
import type { Logger } from '../base/logger.js';
import { counter, gauge, valuesOf, type ValuesOf } from '../base/metric.js';
import { encodeFrame } from '../ipc/frame-codecs.js';
import { HookAction, HookVerdict, type Frames } from '../ipc/frames.js';
import { UNREAD_BYTES_MAX, type WorkerPort } from '../ipc/worker-port.js';
import { readAnswer, UNDECIDED, type CheckedAnswer, type Decision } from './authorize-answer.js';
import { DecisionCache, keyOf, type KeptDecision } from './decision-cache.js';
import { HookFault, type HookCause } from './hook-fault.js';

export const IN_FLIGHT_MAX = 128;
export const TIMEOUT_MS = 1000;
/** Between two lines about failures. */
const LOG_INTERVAL_MS = 10_000;

const ACTIONS = Object.keys(HookAction) as readonly AuthorizeAction[];

type HookRequest = Frames['HookRequest'];

function objectOf(
  names: readonly string[],
  values: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
}

function requestOf(frame: HookRequest): AuthorizeRequest {
  return {
    action: ACTIONS[frame.action] ?? 'connect',
    channels: frame.channels,
    user: frame.user,
    transport: frame.transport as AuthorizeRequest['transport'],
    address: frame.address,
    token: frame.token,
    headers: objectOf(frame.headerNames, frame.headerValues),
    cookies: objectOf(frame.cookieNames, frame.cookieValues),
  };
}

export interface AuthorizationParts {
  readonly authorize: Authorize;
  readonly log: Logger;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
}

/** A limit of the text of an error, which may be anything. */
const REASON_CHARACTERS_MAX = 200;

function faultOf(error: unknown): HookFault {
  if (error instanceof HookFault) return error;
  const reason = error instanceof Error ? error.message : 'it rejected without an error';
  return new HookFault('error', `authorize: ${reason}`);
}

export class Authorization {
  static readonly METRICS = {
    callsTotal: counter(
      'hook_calls_total',
      'Hook requests about clients without a token.',
      (hook: Authorization) => hook.#callsTotal,
    ),
    callsInFlight: gauge(
      'hook_calls_in_flight',
      `Hook requests without an answer, at most ${IN_FLIGHT_MAX}.`,
      (hook: Authorization) => hook.#calls.size,
    ),
    cacheHitsTotal: counter(
      'hook_cache_hits_total',
      'Clients about which an earlier answer still counted (cacheSeconds).',
      (hook: Authorization) => hook.#cacheHits,
    ),
    allowedTotal: counter(
      'hook_allowed_total',
      'Answers that allowed the action of the client.',
      (hook: Authorization) => hook.#allowed,
    ),
    deniedTotal: counter(
      'hook_denied_total',
      'Answers that denied the action of the client.',
      (hook: Authorization) => hook.#denied,
    ),
    busyTotal: counter(
      'hook_busy_total',
      `Clients rejected because ${IN_FLIGHT_MAX} hook requests had no answer yet: the application is slow, ` +
        'or its answers have no cacheSeconds.',
      (hook: Authorization) => hook.#busy,
    ),
    failedTotal: counter(
      'hook_failed_total',
      'Clients rejected because the application gave no decision; the causes follow.',
      (hook: Authorization) => Object.values(hook.#failures).reduce((sum, count) => sum + count, 0),
    ),
    failedTimeoutTotal: counter(
      'hook_failed_timeout_total',
      'The answer took more than one second.',
      (hook: Authorization) => hook.#failures.timeout,
    ),
    failedConnectionTotal: counter(
      'hook_failed_connection_total',
      'The application could not be reached, or ended the connection within its answer.',
      (hook: Authorization) => hook.#failures.connection,
    ),
    failedStatusTotal: counter(
      'hook_failed_status_total',
      'The answer had another status than 200, such as an error or a redirect.',
      (hook: Authorization) => hook.#failures.status,
    ),
    failedAnswerTotal: counter(
      'hook_failed_answer_total',
      'The answer was too long, not JSON, or had an invalid member. The log has the member.',
      (hook: Authorization) => hook.#failures.answer,
    ),
    failedErrorTotal: counter(
      'hook_failed_error_total',
      'The function authorize threw an error, or rejected.',
      (hook: Authorization) => hook.#failures.error,
    ),
  };

  readonly #authorize: Authorize;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #cache = new DecisionCache();
  readonly #ports = new Map<number, WorkerPort>();
  readonly #failures: Record<HookCause, number> = {
    ...{ timeout: 0, connection: 0, status: 0, answer: 0, error: 0 },
  };
  /** Those without an answer. */
  readonly #calls = new Set<AbortController>();
  #isClosed = false;
  #callsTotal = 0;
  #cacheHits = 0;
  #allowed = 0;
  #denied = 0;
  #busy = 0;
  #loggedAtMs = -Infinity;
  #suppressed = 0;

  constructor({ authorize, log, now = performance.now.bind(performance) }: AuthorizationParts) {
    this.#authorize = authorize;
    this.#log = log;
    this.#now = now;
  }

  attach(port: WorkerPort): void {
    this.#ports.set(port.slot, port);
  }

  workerGone(slot: number): void {
    this.#ports.delete(slot);
  }

  /** Ends all hook requests; their workers are gone. */
  close(): void {
    this.#isClosed = true;
    for (const abort of this.#calls) abort.abort();
  }

  /** Present values of the metrics. */
  get counters(): ValuesOf<typeof Authorization.METRICS> {
    return valuesOf(Authorization.METRICS, this);
  }

  /** Forgets the answers about a user, whose next client is asked about again. */
  forgetUser(user: string): void {
    this.#cache.forgetUser(user);
  }

  /** Answers the hook request of a worker, at once or later. */
  onRequest(slot: number, frame: HookRequest): void {
    const port = this.#ports.get(slot);
    if (port === undefined) return;
    const { request: number } = frame;
    const request = requestOf(frame);
    const key = keyOf(request);
    const known = this.#cache.find(key, this.#now());
    if (known !== undefined) {
      this.#cacheHits++;
      this.#answer(port, number, known);
      return;
    }
    if (this.#calls.size >= IN_FLIGHT_MAX) {
      this.#busy++;
      this.#logFailure('busy', `${IN_FLIGHT_MAX} hook requests have no answer yet`);
      this.#answer(port, number, UNDECIDED);
      return;
    }
    void this.#ask(request, key).then((decision) => {
      this.#answer(port, number, decision);
    });
  }

  async #ask(request: AuthorizeRequest, key: string): Promise<Decision> {
    this.#callsTotal++;
    try {
      const { decision, cacheSeconds } = await this.#call(request);
      if (decision.verdict === HookVerdict.allow) this.#allowed++;
      else this.#denied++;
      this.#keep(key, { decision, user: request.user }, cacheSeconds);
      return decision;
    } catch (error) {
      const fault = faultOf(error);
      this.#failures[fault.reason]++;
      this.#logFailure(fault.reason, fault.message);
      return UNDECIDED;
    }
  }

  async #call(request: AuthorizeRequest): Promise<CheckedAnswer> {
    const abort = new AbortController();
    const { signal } = abort;
    const timer = setTimeout(() => {
      abort.abort();
    }, TIMEOUT_MS);
    this.#calls.add(abort);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(new HookFault('timeout', `no answer within ${TIMEOUT_MS} ms`));
      });
    });
    try {
      // In an async function an exception is a rejection too.
      const answer = (async () => this.#authorize(request, { signal }))();
      const value: unknown = await Promise.race([aborted, answer]);
      return readAnswer(request.action, value, Math.floor(Date.now() / 1000));
    } finally {
      clearTimeout(timer);
      this.#calls.delete(abort);
    }
  }

  #keep(key: string, kept: Omit<KeptDecision, 'endsAtMs'>, cacheSeconds: number): void {
    if (cacheSeconds === 0) return;
    this.#cache.add(key, { ...kept, endsAtMs: this.#now() + cacheSeconds * 1000 });
  }

  /** A worker that has died, or does not read, rejects its clients without an answer. */
  #answer(port: WorkerPort, request: number, decision: Decision): void {
    if (this.#ports.get(port.slot) !== port || port.queuedBytes > UNREAD_BYTES_MAX) return;
    port.send(encodeFrame('HookAnswer', { request, ...decision }));
  }

  #logFailure(cause: string, message: string): void {
    if (this.#isClosed) return;
    const nowMs = this.#now();
    if (nowMs - this.#loggedAtMs < LOG_INTERVAL_MS) {
      this.#suppressed++;
      return;
    }
    this.#loggedAtMs = nowMs;
    const suppressed = this.#suppressed === 0 ? {} : { suppressed: this.#suppressed };
    this.#suppressed = 0;
    const reason = message.slice(0, REASON_CHARACTERS_MAX);
    const fields = { cause, reason, ...suppressed };
    this.#log.warn(fields, 'hook without a decision: the client is rejected');
  }
}
