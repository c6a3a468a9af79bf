// How long a stop takes. `docker stop` sends SIGKILL 10 s after SIGTERM, and the stop of a server with
// the default drain ends before that: the drain, the grace of workers, and the check for held ones.

/** Seconds of a drain unless an option sets them. */
export const DRAIN_S = 5;

/** Time after the drain until a worker that has not exited is killed. */
export const DRAIN_GRACE_MS = 2000;

/** Time in which a process ends after SIGKILL, unless closing its sockets takes longer. */
export const KILL_GRACE_MS = 2000;
