// Accounts of a NATS server that are signed by an operator, and the .creds file of a user.
import { nkeys } from '@nats-io/transport-node';

type Pair = ReturnType<typeof nkeys.createUser>;

const encoded = (value: unknown): string =>
  Buffer.from(JSON.stringify(value)).toString('base64url');

/** A JSON Web Token with the claims of NATS, version 2. */
function token(issuer: Pair, subject: Pair, name: string, nats: object): string {
  const head = encoded({ typ: 'JWT', alg: 'ed25519-nkey' });
  const iat = Math.floor(Date.now() / 1000);
  const [iss, sub] = [issuer.getPublicKey(), subject.getPublicKey()];
  const body = encoded({ jti: name, iat, iss, name, sub, nats: { ...nats, version: 2 } });
  const signature = issuer.sign(Buffer.from(`${head}.${body}`));
  return `${head}.${body}.${Buffer.from(signature).toString('base64url')}`;
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 };

/** The lines of a server's configuration with one account, and the credentials of its user. */
export function signedAccount(): {
  readonly lines: readonly string[];
  readonly credentials: string;
} {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const user = nkeys.createUser();
  const limits = {
    ...{ ...UNLIMITED, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
    ...{ mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
  };
  const accountToken = token(operator, account, 'account', { type: 'account', limits });
  // A server with an operator needs an account for itself, without JetStream.
  const system = nkeys.createAccount();
  const systemLimits = { ...limits, mem_storage: 0, disk_storage: 0, streams: 0, consumer: 0 };
  const systemToken = token(operator, system, 'system', { type: 'account', limits: systemLimits });
  const userToken = token(account, user, 'user', { type: 'user', ...UNLIMITED });
  const part = (name: string, text: string): string =>
    `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n\n`;
  return {
    lines: [
      `operator: ${token(operator, operator, 'operator', { type: 'operator' })}`,
      'resolver: MEMORY',
      `system_account: ${system.getPublicKey()}`,
      `resolver_preload: { ${account.getPublicKey()}: ${accountToken}, ${system.getPublicKey()}: ${systemToken} }`,
    ],
    credentials:
      part('NATS USER JWT', userToken) +
      part('USER NKEY SEED', Buffer.from(user.getSeed()).toString()),
  };
}
