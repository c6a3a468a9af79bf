// Decisions of an application about clients without a token: the request, and its answer. A
// function of the application and the HTTP hook have the same form.
import type { TokenGrants } from './token-grants.js';

/** The action of a client. */
export type AuthorizeAction = 'connect' | 'publish' | 'refresh' | 'subscribe';

/** A request for a decision about a client. */
export interface AuthorizeRequest {
  /** The action of the client. */
  readonly action: AuthorizeAction;
  /** The channels that it names; for `refresh`, and for `connect` of a WebSocket command, none. */
  readonly channels: readonly string[];
  /** The user that an earlier answer about this connection named; empty for none. */
  readonly user: string;
  /** How the client is connected. */
  readonly transport: 'poll' | 'sse' | 'stream' | 'websocket';
  /** The numeric address of the client, which a trusted proxy may name; empty for a unix socket. */
  readonly address: string;
  /** The credential in place of a token, such as the id of a session; empty for none. */
  readonly token: string;
  /** The header fields that `hookHeader` names and the client sent, by those names. */
  readonly headers: Readonly<Record<string, string>>;
  /** The cookies that `hookCookie` names and the client sent. */
  readonly cookies: Readonly<Record<string, string>>;
}

/** The client may do it. */
export interface AllowAnswer {
  /** Allows the action. */
  readonly allow: true;
  /** Of `connect` and `refresh`: the user; default: none. */
  readonly user?: string;
  /** Of `connect` and `refresh`: the actions allowed without another request. */
  readonly grants?: TokenGrants;
  /** Of `connect` and `refresh`: the channels that the client is subscribed to when it connects. */
  readonly channels?: readonly string[];
  /** Of `connect` and `refresh`: shown to others where presence is on. */
  readonly info?: unknown;
  /** Of `connect` and `refresh`: seconds until the connection ends; default never. */
  readonly expiresInSeconds?: number;
  /**
   * Seconds for which the answer counts for equal requests, from any address; default 0.
   */
  readonly cacheSeconds?: number;
}

/** The client may not do it. */
export interface DenyAnswer {
  /** Denies the action. */
  readonly allow: false;
  /** 401 for a client that must say who it is, else 403; default 403. */
  readonly status?: 401 | 403;
  /** A sentence for the client, of at most 120 bytes. */
  readonly reason?: string;
  /** As of an answer that allows. */
  readonly cacheSeconds?: number;
}

/** The decision about a client. */
export type AuthorizeAnswer = AllowAnswer | DenyAnswer;

/**
 * Decides about a client without a token. A rejection, an exception, an invalid answer, and none
 * within one second reject the client.
 *
 * @param options - `signal` is aborted when the second is over, and when the server has closed.
 */
export type Authorize = (
  request: AuthorizeRequest,
  options: { readonly signal: AbortSignal },
) => AuthorizeAnswer | Promise<AuthorizeAnswer>;
