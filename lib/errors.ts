// The errors that users meet: one class, a closed list of codes. Level 0.

/** Every code an error of this package can have; a program may switch over it. */
export type ErrorCode =
  | 'ERR_ADDON_MISSING'
  | 'ERR_ADMIN_LISTEN'
  | 'ERR_ALREADY_LISTENING'
  | 'ERR_BUSY'
  | 'ERR_CAPACITY'
  | 'ERR_CHANNEL'
  | 'ERR_LISTEN'
  | 'ERR_MESSAGE'
  | 'ERR_MESSAGE_SIZE'
  | 'ERR_NOT_RUNNING'
  | 'ERR_OPTION_INVALID'
  | 'ERR_OPTION_UNKNOWN'
  | 'ERR_REFUSED'
  | 'ERR_RUNTIME'
  | 'ERR_UNREACHABLE'
  | 'ERR_USER'
  | 'ERR_WORKER_START'
  | 'ERR_WRITE';

/** An error whose message is one sentence for the person who can do something about it. */
export class MegacometError extends Error {
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
