// The tests of all logs, with the simplest one; and logs with a fault, which they must notice.
import { testLog } from '../support/log-conformance.js';
import { MemoryLog, MemoryStore } from '../support/memory-log.js';

testLog({
  name: 'memory',
  isShared: true,
  store: () => {
    const store = new MemoryStore();
    return {
      make: () => new MemoryLog(store),
      forget: (upTo) => Promise.resolve(store.forget(upTo)),
      interrupt: () => Promise.resolve(store.interrupt()),
    };
  },
});
