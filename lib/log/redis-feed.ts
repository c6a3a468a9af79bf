// Reads the stream on a connection of its own: a blocked connection carries no appends.
import { itemsOf } from './redis-items.js';
import type { RedisClient } from './redis-client.js';
import type { RedisSequence } from './redis-sequence.js';

/** Milliseconds that XREAD waits for an entry: an idle connection shows that it lives. */
const BLOCK_MS = 1000;
/** Milliseconds without a byte after which the server hangs or the connection is half open. */
const SILENCE_MS = 2000;
/** An idle node wakes up for each look. */
const CHECK_MS = 500;
/** Entries of one answer. Each may have 8 MiB, but the whole log is smaller than a few of those. */
const ENTRIES_MAX = 200;

export interface FeedParts {
  readonly key: string;
  readonly sequence: RedisSequence;
  /** While nothing is appended: whether the log is still the same. */
  readonly onIdle: (client: RedisClient) => Promise<void>;
}

/** Ends a connection that is silent while an answer is due. */
function watch(client: RedisClient): NodeJS.Timeout {
  let bytes = client.bytesRead;
  let sinceMs = performance.now();
  return setInterval(() => {
    const nowMs = performance.now();
    if (client.bytesRead !== bytes) {
      bytes = client.bytesRead;
      sinceMs = nowMs;
    } else if (nowMs - sinceMs > SILENCE_MS) {
      client.destroy(`it was silent for ${SILENCE_MS / 1000} s`);
    }
  }, CHECK_MS);
}

/** Reads until the connection ends. @throws Error with the reason. */
export async function feed(client: RedisClient, parts: FeedParts): Promise<never> {
  const { key, sequence, onIdle } = parts;
  const timer = watch(client);
  try {
    for (;;) {
      const after = `${sequence.position}-0`;
      const options = ['COUNT', ENTRIES_MAX, 'BLOCK', BLOCK_MS, 'STREAMS', key, after] as const;
      const items = itemsOf(await client.callBuffer('XREAD', ...options));
      if (items === null) await onIdle(client);
      else sequence.accept(items);
    }
  } finally {
    clearInterval(timer);
  }
}
