// One worker: builds the parts, connects them, and stays in the loop until it is told to leave.
// No rules of its own.
#pragma once

namespace megacomet {

/// Serves until the manager says otherwise or is gone. Returns the exit code of the process:
/// 0 after a drain or when the manager went away, 1 when it could not start.
///
/// Takes the calling thread and descriptors 3 (control stream), 4 (stats segment) and from 5 on
/// (listeners).
int run_worker();

}  // namespace megacomet
