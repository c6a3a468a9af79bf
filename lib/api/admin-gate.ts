// Access to the endpoints of the admin server: one check of each request before anything handles
// it. It denies by default.
import type { IncomingMessage } from 'node:http';

import { counter, valuesOf, type ValuesOf } from '../base/metric.js';
import type { AdminTokens } from './admin-tokens.js';
import { checkRequest, isOwnName, type Target } from './admin-request.js';
import { endpointOf, type Endpoint, type Role } from './endpoints.js';
import { mediaType, Rejection } from './request-body.js';

export interface GateOptions {
  readonly protocol: string;
  readonly tokens: AdminTokens;
  /** Whether only this machine reaches the server: it listens on loopback or a unix socket. */
  readonly isLocal: boolean;
  /** Names that a request may have in its Host besides addresses and localhost, in lower case. */
  readonly allowedHosts: readonly string[];
}

/** A request that may be handled. */
export interface Admitted {
  readonly target: Target;
  /** Whether the request has a token. */
  readonly isTrusted: boolean;
}

export class AdminGate {
  static readonly METRICS = {
    requestsTotal: counter(
      'admin_requests_total',
      'Requests to the admin server, with those that are rejected.',
      (gate: AdminGate) => gate.#requests,
    ),
    unauthorizedTotal: counter(
      'admin_unauthorized_total',
      'Requests without a valid admin token. A few are a mistake of yours; many are an attack.',
      (gate: AdminGate) => gate.#unauthorized,
    ),
    forbiddenTotal: counter(
      'admin_forbidden_total',
      'Requests whose admin token has another role, and those with a foreign Host or Origin.',
      (gate: AdminGate) => gate.#forbidden,
    ),
  };

  readonly #options: GateOptions;
  #requests = 0;
  #unauthorized = 0;
  #forbidden = 0;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get counters(): ValuesOf<typeof AdminGate.METRICS> {
    return valuesOf(AdminGate.METRICS, this);
  }

  /** @throws Rejection */
  admit(request: IncomingMessage): Admitted {
    this.#requests++;
    try {
      return this.#admit(request);
    } catch (error) {
      if (error instanceof Rejection && error.status === 401) this.#unauthorized++;
      if (error instanceof Rejection && error.status === 403) this.#forbidden++;
      throw error;
    }
  }

  #admit(request: IncomingMessage): Admitted {
    const { tokens, allowedHosts } = this.#options;
    const { target, host, isOfBrowser } = checkRequest(request);
    const endpoint = this.#endpointOf(target);
    const roles = tokens.rolesOf(request.headers.authorization);
    const isTrusted = roles.size > 0;
    // A health check has no token, and a load balancer may ask it by any name.
    const isOpen = endpoint?.role === null && !isOfBrowser;
    if (!isTrusted && !isOpen && !isOwnName(host, allowedHosts)) {
      throw new Rejection(403, 'foreign Host: see --admin-allowed-host, or send a token');
    }
    if (endpoint === undefined) throw new Rejection(404, this.#unknown(target));
    this.#checkRole(target.path, endpoint, roles);
    checkForm(request, target.path, endpoint);
    return { target, isTrusted };
  }

  #endpointOf({ path }: Target): Endpoint | undefined {
    const endpoint = endpointOf(path);
    const isOfOther =
      endpoint?.protocol !== undefined && endpoint.protocol !== this.#options.protocol;
    return isOfOther ? undefined : endpoint;
  }

  #unknown({ path }: Target): string {
    if (endpointOf(path) === undefined) return 'no such page';
    return `this server speaks ${this.#options.protocol}; ${path} needs --protocol comet`;
  }

  #checkRole(path: string, { role, method }: Endpoint, roles: ReadonlySet<Role>): void {
    const { tokens, isLocal } = this.#options;
    if (role === null || roles.has(role)) return;
    // Every user of this machine may read numbers, unless a token is there for them.
    if (role === 'metrics' && method === 'GET' && isLocal && !tokens.has('metrics')) return;
    if (roles.size > 0) {
      const own = [...roles].join(', ');
      const challenge = `Bearer error="insufficient_scope", scope="${role}"`;
      throw new Rejection(403, `${path} needs the role ${role}; the token has the role ${own}`, {
        'WWW-Authenticate': challenge,
      });
    }
    if (tokens.isEmpty) {
      const sentence =
        'this server has no admin token: see --admin-token-file, or MEGACOMET_ADMIN_TOKEN';
      throw new Rejection(403, sentence);
    }
    throw new Rejection(401, `missing or invalid admin token; ${path} needs the role ${role}`, {
      'WWW-Authenticate': 'Bearer',
    });
  }
}

/** Checks method and media type. @throws Rejection */
function checkForm(request: IncomingMessage, path: string, { method, types = [] }: Endpoint): void {
  const allowed = method === 'GET' ? ['GET', 'HEAD'] : [method];
  if (!allowed.includes(request.method ?? '')) {
    const methods = allowed.join(' or ');
    throw new Rejection(405, `${path} takes ${methods}`, { Allow: allowed.join(', ') });
  }
  if (types.length === 0 || types.includes(mediaType(request))) return;
  throw new Rejection(415, `Content-Type must be ${types.join(' or ')}, in UTF-8`);
}
