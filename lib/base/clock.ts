// A monotonic clock with timers. Code that takes a Clock is tested without waiting.

/** A timer that was started. */
export interface Timer {
  /** Stops it. It does nothing if the timer has fired or was stopped. */
  cancel(): void;
  /** Allows the process to exit while the timer runs. */
  unref(): void;
}

export interface Clock {
  /** Milliseconds since an arbitrary start. */
  nowMs(): number;
  /** Runs an action once. */
  after(ms: number, action: () => void): Timer;
  /** Runs an action periodically. */
  every(ms: number, action: () => void): Timer;
}

function timerOf(timeout: NodeJS.Timeout): Timer {
  return {
    cancel: () => {
      clearTimeout(timeout);
    },
    unref: () => {
      timeout.unref();
    },
  };
}

/** CLOCK_MONOTONIC, and the timers of Node's event loop. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after: (ms, action) => timerOf(setTimeout(action, ms)),
  every: (ms, action) => timerOf(setInterval(action, ms)),
};
