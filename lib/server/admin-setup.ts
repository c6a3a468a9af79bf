// The start of the admin server: its addresses and tokens by the options, and their checks.
import { Admin, type AdminApi, type AdminCertificates } from '../api/admin.js';
import { AdminTokens, type RoleToken } from '../api/admin-tokens.js';
import { generatedToken } from '../api/generated-token.js';
import { tokenFilesOf, tokensOf } from '../api/token.js';
import { formatAddress, isLoopback, parseListenAddress, type Address } from '../base/address.js';
import { invalidOption, invalidValue } from '../base/call-check.js';
import { MegacometError } from '../base/errors.js';
import { shown } from '../base/shown.js';
import { gidOf } from '../system/accounts.js';
import type { Identity } from '../system/identity.js';
import { ownersOf } from '../system/secret-file.js';
import type { SocketFile } from '../system/socket-file.js';
import type { StartContext } from './start-context.js';
import { warnOfReaders } from './start-warnings.js';

const SOCKET_MODE = 0o600;
const GROUP_SOCKET_MODE = 0o660;

function isLocal({ isUnix, host }: Address): boolean {
  return isUnix || isLoopback(host);
}

export class AdminSetup {
  readonly #context: StartContext;
  #addresses: readonly Address[] = [];
  #tokens: readonly RoleToken[] = [];
  /** The file with the generated token; null without one. */
  #generatedFile: string | null = null;
  #file: SocketFile = { mode: SOCKET_MODE, uid: -1, gid: -1 };

  constructor(context: StartContext) {
    this.#context = context;
  }

  /**
   * Reads the options, and the token of an earlier start.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  plan(identity: Identity | undefined): void {
    const { options } = this.#context;
    this.#addresses = this.#configured();
    this.#checkTls();
    this.#file = this.#socketFile(identity);
    const owners = ownersOf(identity?.uid);
    this.#tokens = tokensOf(options, owners);
    for (const file of tokenFilesOf(options)) warnOfReaders(file, this.#context.startLog);
    if (this.#addresses.length === 0) return;
    this.#checkExposure();
    const needsToken = options.protocol === 'comet' && this.#context.host.generatesToken;
    if (needsToken && this.#tokens.every(({ role }) => role !== 'admin')) this.#generate(owners);
  }

  /**
   * Opens the server; resolves to it and its addresses, with their real ports.
   *
   * @param certificates - Required for an address with TLS.
   */
  async open(
    api: AdminApi | undefined,
    certificates: AdminCertificates | undefined,
  ): Promise<OpenAdmin | undefined> {
    if (this.#addresses.length === 0) return undefined;
    const { options, startLog: log, view } = this.#context;
    const admin = new Admin(
      view,
      {
        tokens: new AdminTokens(this.#tokens),
        isLocal: this.#addresses.every(isLocal),
        allowedHosts: options.adminAllowedHost ?? [],
        ...(certificates === undefined ? {} : { certificates }),
      },
      api,
    );
    const addresses: Address[] = [];
    try {
      for (const address of this.#addresses) {
        addresses.push(await admin.listen(address, this.#file));
      }
    } catch (error) {
      await admin.close();
      throw error;
    }
    const file = this.#generatedFile;
    if (file !== null) log.info({ file }, `the admin token is in ${file}`);
    return { admin, addresses };
  }

  #configured(): readonly Address[] {
    const { adminListen, adminHost, adminPort } = this.#context.options;
    if (adminListen !== undefined) {
      return adminListen.map((text) => parseListenAddress('admin-listen', text));
    }
    return adminPort === undefined ? [] : [{ isUnix: false, host: adminHost, port: adminPort }];
  }

  #checkTls(): void {
    const first = this.#addresses.find(({ isTls }) => isTls === true);
    if (first === undefined || this.#context.options.tlsCert !== undefined) return;
    throw invalidOption(`admin-listen: ${formatAddress(first)} needs --tls-cert`);
  }

  #socketFile(identity: Identity | undefined): SocketFile {
    const { adminSocketMode, adminSocketGroup } = this.#context.options;
    const group = adminSocketGroup === undefined ? undefined : gidOf(adminSocketGroup);
    if (group === null) {
      throw invalidValue('admin-socket-group', adminSocketGroup, 'a group of this machine');
    }
    const given = { 'admin-socket-mode': adminSocketMode, 'admin-socket-group': adminSocketGroup };
    for (const [label, value] of Object.entries(given)) {
      if (value === undefined || this.#addresses.some(({ isUnix }) => isUnix)) continue;
      const message = `${label}: ${shown(value)} needs --admin-listen unix:PATH`;
      throw new MegacometError('ERR_OPTION_INVALID', message);
    }
    const usual = group === undefined ? SOCKET_MODE : GROUP_SOCKET_MODE;
    return {
      mode: adminSocketMode === undefined ? usual : parseInt(adminSocketMode, 8),
      uid: identity?.uid ?? -1,
      gid: group ?? identity?.gid ?? -1,
    };
  }

  /** Other machines must not read metrics without a token, which the operator has to know. */
  #checkExposure(): void {
    const exposed = this.#addresses.find((address) => !isLocal(address));
    if (exposed === undefined || this.#tokens.length > 0) return;
    const { adminListen } = this.#context.options;
    const label = adminListen === undefined ? 'admin-host' : 'admin-listen';
    const value = adminListen === undefined ? exposed.host : formatAddress(exposed);
    const message =
      `${label}: ${shown(value)} is not a loopback address, so it needs --admin-token-file, ` +
      '--admin-role or MEGACOMET_ADMIN_TOKEN';
    throw new MegacometError('ERR_OPTION_INVALID', message);
  }

  #generate(owners: readonly number[]): void {
    const { startLog: log } = this.#context;
    const generated = generatedToken(process.env, owners);
    if ('reason' in generated) {
      const fix = 'set --admin-token-file or MEGACOMET_ADMIN_TOKEN';
      log.warn({}, `no admin token, because no file can hold it (${generated.reason}): ${fix}`);
      return;
    }
    this.#tokens = [...this.#tokens, { role: 'admin', token: generated.token }];
    this.#generatedFile = generated.file;
  }
}

export interface OpenAdmin {
  readonly admin: Admin;
  readonly addresses: readonly Address[];
}
