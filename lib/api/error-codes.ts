// The codes of the admin server's errors, each with its status. Those of the library mean the same
// here; the others are about the request itself.

export const ERROR_STATUS = {
  ERR_CHANNEL: 400,
  ERR_MESSAGE: 400,
  ERR_OPTION_INVALID: 400,
  ERR_OPTION_UNKNOWN: 400,
  ERR_MESSAGE_SIZE: 413,
  ERR_BUSY: 429,
  ERR_LOG: 503,
  ERR_NOT_RUNNING: 503,
  /** The request is not well formed, or a member or parameter of it is wrong. */
  ERR_REQUEST: 400,
  /** The admin token is missing or invalid. */
  ERR_UNAUTHORIZED: 401,
  /** The token has another role, the server has none, or Host or Origin are foreign. */
  ERR_FORBIDDEN: 403,
  ERR_NOT_FOUND: 404,
  ERR_METHOD: 405,
  /** The request or the reading of answers takes too long. */
  ERR_TIMEOUT: 408,
  ERR_BODY_SIZE: 413,
  ERR_MEDIA_TYPE: 415,
  /** The head of the request has too many bytes or fields. */
  ERR_HEAD_SIZE: 431,
} as const satisfies Readonly<Record<string, number>>;

export type ApiErrorCode = keyof typeof ERROR_STATUS;

const OF_STATUS: Readonly<Record<number, ApiErrorCode>> = {
  401: 'ERR_UNAUTHORIZED',
  403: 'ERR_FORBIDDEN',
  404: 'ERR_NOT_FOUND',
  405: 'ERR_METHOD',
  408: 'ERR_TIMEOUT',
  413: 'ERR_BODY_SIZE',
  415: 'ERR_MEDIA_TYPE',
  431: 'ERR_HEAD_SIZE',
};

/** The code of an error about the request itself. */
export function codeOfStatus(status: number): ApiErrorCode {
  return OF_STATUS[status] ?? 'ERR_REQUEST';
}
