// The process of one worker: builds the parts, connects them, and runs the loop.
#pragma once

namespace megacomet {

/// Serves until the manager drains this worker or dies. Returns the exit code of the process:
/// 0 after a drain or the death of the manager, 1 after a failed start or an invalid frame.
///
/// Uses the calling thread, and descriptors 3 (control stream), 4 (its stats), 5 (slice leases) and
/// from 6 on (listeners).
int run_worker();

}  // namespace megacomet
