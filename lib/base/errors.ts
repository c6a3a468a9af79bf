// The errors that users meet: one class, a closed list of codes.

/** Every code an error of this package can have; a program may switch over it. */
export type ErrorCode =
  /** No native addon for this machine; thrown when the package is imported. */
  | 'ERR_ADDON_MISSING'
  /** The admin server cannot listen on its address. */
  | 'ERR_ADMIN_LISTEN'
  /** listen() was called before: a server starts once. */
  | 'ERR_ALREADY_LISTENING'
  /** A worker, or presence(), cannot follow: a later try may succeed. */
  | 'ERR_BUSY'
  /** The machine cannot hold what was asked for. */
  | 'ERR_CAPACITY'
  /** A name that no channel, pattern or client of a mailbox can have. */
  | 'ERR_CHANNEL'
  /** An address cannot be listened on, or there are too many. */
  | 'ERR_LISTEN'
  /** A message, its options or a reason that cannot be. */
  | 'ERR_MESSAGE'
  /** A message longer than `messageBytes`. */
  | 'ERR_MESSAGE_SIZE'
  /** The server does not run: not yet, or not any more. */
  | 'ERR_NOT_RUNNING'
  /** An option with a value that it cannot have. */
  | 'ERR_OPTION_INVALID'
  /** An option that does not exist. */
  | 'ERR_OPTION_UNKNOWN'
  /** A server refused what a command asked of it. Not from the library. */
  | 'ERR_REJECTED'
  /** This runtime is not Node.js. */
  | 'ERR_RUNTIME'
  /** No server answers a command. Not from the library. */
  | 'ERR_UNREACHABLE'
  /** `user` does not exist, or this process may not become it. */
  | 'ERR_USER'
  /** A worker could not be started, or did not become ready in 30 seconds. */
  | 'ERR_WORKER_START'
  /** A command could not write a file. Not from the library. */
  | 'ERR_WRITE';

/** An error whose message is one sentence for the person who can do something about it. */
export class MegacometError extends Error {
  /** For logs and for code that has two copies of this class. */
  override readonly name = 'MegacometError';

  /**
   * @param code - What went wrong, for programs.
   * @param message - What went wrong, for people: the option or address, its value, and the rule.
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}
