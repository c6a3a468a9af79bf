// Why an application gave no decision.

/** Each is a counter. */
export type HookCause = 'answer' | 'connection' | 'error' | 'status' | 'timeout';

/** The application has not decided. */
export class HookFault extends Error {
  readonly reason: HookCause;

  constructor(reason: HookCause, message: string) {
    super(message);
    this.reason = reason;
  }
}
