// The certificates and ticket keys of a server while it runs.
import { systemClock, type Clock } from '../base/clock.js';
import type { Logger } from '../base/logger.js';
import { readSecretFile } from '../base/shared-secret.js';
import type { Frames } from '../ipc/frames.js';
import { DateWatch, daysLeft, warnOfDates } from '../tls/certificate-dates.js';
import { ManagerCertificates } from '../tls/manager-certificates.js';
import { TicketKeys } from '../tls/ticket-keys.js';
import { readTls, shareOf, type TlsRules, type TlsSettings } from '../tls/tls-rules.js';

/** The receivers of changes while the server runs. */
export interface TlsTakers {
  onCertificates(): void;
  onTicketKeys(frame: Frames['TlsTickets']): void;
}

/** The secret of ticket keys; null without a file. */
function readTicketSecret({ tlsTicketKeyFile }: TlsSettings): Buffer | null {
  if (tlsTicketKeyFile === undefined) return null;
  return readSecretFile('tls-ticket-key-file', tlsTicketKeyFile);
}

export class ServerTls {
  readonly #settings: TlsSettings;
  readonly #takers: TlsTakers;
  readonly #clock: Clock;
  readonly #ticketKeys: TicketKeys;
  #dates: DateWatch | undefined;
  #rules: TlsRules;
  #workers = 1;

  private constructor(settings: TlsSettings, rules: TlsRules, takers: TlsTakers, clock: Clock) {
    this.#settings = settings;
    this.#rules = rules;
    this.#takers = takers;
    this.#clock = clock;
    this.#ticketKeys = new TicketKeys(readTicketSecret(settings), {
      clock,
      wallMs: Date.now,
      onChange: (frame) => {
        takers.onTicketKeys(frame);
      },
    });
  }

  /**
   * Reads the certificates and the ticket key. Undefined without TLS.
   *
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  static read(
    settings: TlsSettings,
    takers: TlsTakers,
    clock: Clock = systemClock,
  ): ServerTls | undefined {
    const rules = readTls(settings, Date.now());
    return rules === null ? undefined : new ServerTls(settings, rules, takers, clock);
  }

  /** Divides the limits of the server among N workers. */
  divideAmong(workers: number): void {
    this.#workers = workers;
  }

  /** The certificates, for a worker that starts. */
  get frame(): Frames['Tls'] {
    return shareOf(this.#rules.frame, this.#workers);
  }

  /** The same certificates, for the servers of the manager itself. */
  get ofManager(): ManagerCertificates {
    return new ManagerCertificates(this.#rules, this.#settings);
  }

  /** The keys of session tickets, for a worker that starts. */
  get tickets(): Frames['TlsTickets'] {
    return this.#ticketKeys.frame;
  }

  /** Whole days until each certificate expires, by its file. */
  get daysLeft(): Readonly<Record<string, number>> {
    return daysLeft(this.#rules.certificates, Date.now());
  }

  /** Warns of certificates that expire soon. */
  warnOfDates(log: Logger): void {
    warnOfDates(this.#rules.certificates, Date.now(), log);
  }

  /** Begins to replace the ticket keys in time, and to warn of dates. */
  start(log: Logger): void {
    this.#ticketKeys.start();
    this.#dates = new DateWatch(this.#clock, Date.now, () => {
      this.warnOfDates(log);
    });
    this.#dates.watch(this.#rules.certificates);
  }

  /** Erases the ticket keys. */
  close(): void {
    this.#dates?.cancel();
    this.#ticketKeys.close();
  }

  /**
   * Reads the files again. After an error the old certificates and keys stay.
   *
   * @returns Gives the new certificates and keys to the workers.
   * @throws MegacometError `ERR_OPTION_INVALID`.
   */
  reload(log: Logger): () => void {
    const secret = readTicketSecret(this.#settings);
    const rules = readTls(this.#settings, Date.now());
    return () => {
      if (rules === null) return;
      this.#rules = rules;
      if (secret !== null) this.#ticketKeys.setSecret(secret);
      this.#takers.onCertificates();
      this.warnOfDates(log);
      this.#dates?.watch(rules.certificates);
    };
  }
}
