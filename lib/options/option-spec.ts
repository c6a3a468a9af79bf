// The form of a row in the option tables, and the types that are derived from a row.
import type { Namespaces } from './server-options.js';

/**
 * How a value is parsed. `address` is a numeric host to listen on, `peer` the HOST:PORT of a server,
 * `ports` one port or a range; `mode` the permissions of a file; `seconds` may have a fraction;
 * `namespaces` are objects of options by pattern (namespaces.ts); `listeners` is a flag for all
 * addresses that the server listens on, or a list of some of them.
 */
export type OptionKind =
  | 'address'
  | 'choice'
  | 'flag'
  | 'integer'
  | 'list'
  | 'listeners'
  | 'mode'
  | 'namespaces'
  | 'peer'
  | 'ports'
  | 'seconds'
  | 'text';

/** A flag that is set if the option is true, has the value `is`, or is given at all (`isSet`). */
export interface FrameFlag {
  readonly flag: string;
  readonly is?: string;
  readonly isSet?: true;
}

/** The field of the Comet frame that an option fills, by the type of that field. */
export type FrameField =
  FrameFlag | { readonly texts: string } | { readonly u32: string } | { readonly u64: string };

/** What another option must be: exactly one of the last three members is given. */
export interface Requirement {
  /** The name of the other option. */
  readonly name: string;
  /** A further option; it is enough if one of the two is set. */
  readonly or?: string;
  /** A member of createServer()'s argument that is not in the tables; enough if it is given. */
  readonly orMember?: 'authorize';
  readonly is?: string;
  readonly isNot?: number | string;
  readonly isSet?: true;
}

export interface OptionSpec {
  /** Name on the command line, without the dashes. */
  readonly name: string;
  readonly kind: OptionKind;
  /** Placeholder of the value in help texts. */
  readonly value?: string;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** A word that is allowed besides numbers. */
  readonly word?: string;
  readonly default?: boolean | number | string | readonly string[];
  /** Default of the command line alone: createServer() leaves the option open. */
  readonly commandLineDefault?: number;
  /** Meaning of an absent value, for an option without a default. */
  readonly unset?: string;
  /** Name of an option whose value is the minimum of this one: a lower value is raised to it. */
  readonly atLeast?: string;
  /** Only the command line has it; createServer() does not. */
  readonly isCommandLineOnly?: boolean;
  /** Never on the command line, which every user of the machine can read. */
  readonly isSecret?: boolean;
  /** A URL: errors show it without the parts that may hold a secret. */
  readonly isUrl?: boolean;
  /** Only a config file and the library have it: it is too long for a flag or a variable. */
  readonly isFileOnly?: boolean;
  /**
   * The option describes one run of a command, or its name means something else in another command:
   * no variable sets it, so that a variable has one meaning.
   */
  readonly hasNoVariable?: boolean;
  /**
   * How the items of a list are parsed; by default they are any texts. `pem` is a file or, for the
   * library, its content.
   */
  readonly item?: 'address' | 'host name' | 'network' | 'origin' | 'pem';
  /** Another option without which this one has no effect. */
  readonly requires?: Requirement;
  /** May change while the server runs (SIGHUP). */
  readonly isReloadable?: boolean;
  /** The only protocol that uses the option. */
  readonly protocol?: 'comet';
  readonly frame?: FrameField;
  /** Sentences with meaning and unit; what other fields say, such as the default, is added. */
  readonly help: string;
}

export const COUNT_MAX = 100_000_000;

/** `max-connections` as `maxConnections`. */
export type KeyOf<Name extends string> = Name extends `${infer Head}-${infer Rest}`
  ? `${Head}${Capitalize<KeyOf<Rest>>}`
  : Name;

type WordOf<Spec> = Spec extends { readonly word: infer Word } ? Word : never;

/** The type of an option's value. */
export type ValueOf<Spec extends { readonly kind: OptionKind }> = Spec['kind'] extends 'flag'
  ? boolean
  : Spec['kind'] extends 'integer' | 'seconds'
    ? WordOf<Spec> | number
    : Spec['kind'] extends 'ports'
      ? number | string
      : Spec['kind'] extends 'list'
        ? readonly string[]
        : Spec['kind'] extends 'listeners'
          ? boolean | readonly string[]
          : Spec['kind'] extends 'namespaces'
            ? Namespaces
            : Spec extends { readonly choices: readonly (infer Choice)[] }
              ? Choice
              : string;

/** The type of an option's value as a program may give it. */
export type InputOf<Spec extends { readonly kind: OptionKind }> = Spec extends {
  readonly item: 'pem';
}
  ? Uint8Array | string | readonly (Uint8Array | string)[]
  : ValueOf<Spec>;

type Table = readonly OptionSpec[];

/** The options of a table as an object, each of which may be absent. */
export type OptionsOf<Specs extends Table> = {
  [Spec in Specs[number] as KeyOf<Spec['name']>]?: InputOf<Spec>;
};

type WithDefault<Specs extends Table> = Extract<
  Specs[number],
  { readonly default: NonNullable<OptionSpec['default']> }
>;

/** The options of a table after the defaults are filled in. */
export type SettingsOf<Specs extends Table> = {
  [Spec in WithDefault<Specs> as KeyOf<Spec['name']>]: ValueOf<Spec>;
} & {
  [Spec in Exclude<Specs[number], WithDefault<Specs>> as KeyOf<Spec['name']>]?: ValueOf<Spec>;
};
