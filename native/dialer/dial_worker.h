// One process of the load generator: a control stream and a dialer.
#pragma once

namespace megacomet {

/// Dials as the manager of a bench run orders, until the control stream ends.
/// Takes the calling thread and descriptor 3. Returns the exit code of the process.
int run_dialer();

}  // namespace megacomet
