// The certificates of a server while it runs.
import type { Frames } from '../ipc/frames.js';
import { ManagerCertificates } from '../tls/manager-certificates.js';
import { readTls, shareOf, type TlsRules, type TlsSettings } from '../tls/tls-rules.js';

export class ServerTls {
  readonly #settings: TlsSettings;
  readonly #onChange: () => void;
  #rules: TlsRules;
  #workers = 1;

  private constructor(settings: TlsSettings, rules: TlsRules, onChange: () => void) {
    this.#settings = settings;
    this.#rules = rules;
    this.#onChange = onChange;
  }

  /**
   * Reads the certificates. Undefined without TLS.
   *
   * @param onChange - Called after each reload.
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  static read(settings: TlsSettings, onChange: () => void): ServerTls | undefined {
    const rules = readTls(settings, Date.now());
    return rules === null ? undefined : new ServerTls(settings, rules, onChange);
  }

  /** Divides the limits of the server among N workers. */
  divideAmong(workers: number): void {
    this.#workers = workers;
  }

  /** The frame for each worker. */
  get frame(): Frames['Tls'] {
    return shareOf(this.#rules.frame, this.#workers);
  }

  /** The same certificates, for the servers of the manager itself. */
  get ofManager(): ManagerCertificates {
    return new ManagerCertificates(this.#rules, this.#settings);
  }

  /**
   * Reads the files again. After an error the old certificates stay.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  reload(): void {
    const rules = readTls(this.#settings, Date.now());
    if (rules === null) return;
    this.#rules = rules;
    this.#onChange();
  }
}
