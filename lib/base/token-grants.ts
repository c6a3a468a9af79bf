// The grants of a client, in a token and in an answer of the application.

/** Channels of each action: names, prefixes such as `news/*`, and names with stars. */
export interface TokenGrants {
  /** Channels that the client may subscribe to. */
  readonly subscribe?: readonly string[];
  /** Channels that the client may publish to. */
  readonly publish?: readonly string[];
  /** Channels whose subscribers the client may see. */
  readonly presence?: readonly string[];
  /** Channels whose history the client may read. */
  readonly history?: readonly string[];
}
