// The errors for users: one class with a closed list of codes.

/** All codes of errors of this package; a program may switch over them. */
export type ErrorCode =
  /** The native addon is missing or does not load; thrown when the package is imported. */
  | 'ERR_ADDON_MISSING'
  /** The admin server cannot listen on its address. */
  | 'ERR_ADMIN_LISTEN'
  /** listen() was called before, or close(): a server starts once. */
  | 'ERR_ALREADY_LISTENING'
  /** Too much work is queued for a worker or for presence(); a later try may succeed. */
  | 'ERR_BUSY'
  /** The machine cannot hold the requested connections. */
  | 'ERR_CAPACITY'
  /** An invalid name of a channel, a pattern, or a client of a mailbox. */
  | 'ERR_CHANNEL'
  /** The server cannot listen on an address, or there are too many addresses. */
  | 'ERR_LISTEN'
  /** The log of messages cannot be opened or written; a later try may succeed. */
  | 'ERR_LOG'
  /** An invalid message, message option or reason. */
  | 'ERR_MESSAGE'
  /** A message longer than `messageBytes`. */
  | 'ERR_MESSAGE_SIZE'
  /** The server is not running, or it does not speak the protocol of the call. */
  | 'ERR_NOT_RUNNING'
  /** An option has an invalid value. */
  | 'ERR_OPTION_INVALID'
  /** An option that does not exist. */
  | 'ERR_OPTION_UNKNOWN'
  /** A server rejected the request of a command. Not from the library. */
  | 'ERR_REJECTED'
  /** This is not Node.js 20.6 or newer, a single executable, or not the main thread. */
  | 'ERR_RUNTIME'
  /** A command cannot reach the server. Not from the library. */
  | 'ERR_UNREACHABLE'
  /** `user` does not exist, or this process may not become it. */
  | 'ERR_USER'
  /** A worker could not be started, or did not become ready in 30 seconds. */
  | 'ERR_WORKER_START'
  /** A command could not write a file. Not from the library. */
  | 'ERR_WRITE';

/** An error whose message is one sentence that helps the user to fix the cause. */
export class MegacometError extends Error {
  /** The name for logs, and for programs that load two copies of this class. */
  override readonly name = 'MegacometError';

  /**
   * @param code - The kind of error, for programs.
   * @param message - The error for people: the option or address, its value, and the rule.
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}
