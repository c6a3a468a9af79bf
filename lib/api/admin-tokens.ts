// The tokens of the admin server with their roles, and their comparison in constant time.
import { createHash, timingSafeEqual } from 'node:crypto';

import { ROLES, type Role } from './endpoints.js';

export interface RoleToken {
  readonly role: Role;
  readonly token: string;
}

/** The roles that a role includes. */
const INCLUDED: Readonly<Record<Role, readonly Role[]>> = {
  metrics: ['metrics'],
  publish: ['publish'],
  admin: ROLES,
};

interface Expected {
  readonly digest: Buffer;
  readonly role: number;
}

/** The token in a field Authorization; undefined without one. */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([^\s]+)$/i.exec(authorization ?? '')?.[1];
}

export class AdminTokens {
  readonly #expected: readonly Expected[];
  readonly #roles: ReadonlySet<Role>;

  constructor(tokens: readonly RoleToken[]) {
    this.#expected = tokens.map(({ role, token }) => ({
      digest: digestOf(token),
      role: ROLES.indexOf(role),
    }));
    this.#roles = new Set(tokens.map(({ role }) => role));
  }

  get isEmpty(): boolean {
    return this.#expected.length === 0;
  }

  /** Whether a token has exactly this role. */
  has(role: Role): boolean {
    return this.#roles.has(role);
  }

  /** The roles that the field Authorization of a request allows; empty without a valid token. */
  rolesOf(authorization: string | undefined): ReadonlySet<Role> {
    const given = bearerOf(authorization);
    return given === undefined ? new Set() : this.#rolesOf(given);
  }

  /**
   * Compares hashes, so that the time reveals neither content nor length, and with every token, so
   * that it does not reveal which one matches.
   */
  #rolesOf(token: string): ReadonlySet<Role> {
    const digest = digestOf(token);
    let found = 0;
    for (const expected of this.#expected) {
      found |= Number(timingSafeEqual(digest, expected.digest)) << expected.role;
    }
    const roles = ROLES.filter((_, index) => (found & (1 << index)) !== 0);
    return new Set(roles.flatMap((role) => INCLUDED[role]));
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
