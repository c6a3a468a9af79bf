// What an option is: the shape of a row in the tables, and the ranges that several share.

/** How a value is read. `ports` are one or a range; `seconds` and `rate` may have a fraction. */
export type OptionKind =
  'address' | 'choice' | 'flag' | 'integer' | 'list' | 'ports' | 'seconds' | 'text';

export interface OptionSpec {
  /** Name on the command line, without the dashes. */
  readonly name: string;
  readonly commands: readonly string[];
  readonly kind: OptionKind;
  /** Placeholder in the help text. */
  readonly value?: string;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** A word that is allowed besides numbers. */
  readonly word?: string;
  readonly default?: boolean | number | string | readonly string[];
  /** Only the command line has it, createServer() has not. */
  readonly isCommandLineOnly?: boolean;
  /** Never on the command line, which everybody on the machine can read. */
  readonly isSecret?: boolean;
  /** May change while the server runs (SIGHUP). */
  readonly reloadable?: boolean;
  readonly help: string;
}

/** Deadlines are signed 16-bit ticks of a second: nine hours, see native/base/bounds.h. */
export const SECONDS_MAX = 32_400;
export const COUNT_MAX = 100_000_000;
/** Ports of a range: each costs every worker a descriptor. As kListenersMax of base/bounds.h. */
export const PORTS_MAX = 64;
