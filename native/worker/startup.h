// The preparation of a worker's process before it serves: checks its Configure frame, gives up
// privileges, and divides its descriptors.
#pragma once

#include <cstdint>

#include "ipc/frames.h"

namespace megacomet::startup {

/// Whether each field has a value that this worker knows.
[[nodiscard]] bool is_valid(const frame::Configure& configure);

/// Whether a listener has a flag of listener_flag.
[[nodiscard]] bool has_flag(const frame::Configure& configure, uint8_t flag);

/// Gives up the privileges that only the manager needs, and makes the kernel prefer this process
/// when memory runs out.
void restrict_process();

/// How the descriptors of a worker are used.
struct Descriptors {
  /// Open before the first connection, including the spare one of Admission. Counted, because
  /// Node's own differ between its versions.
  uint32_t fixed;
  /// Left for connections.
  uint32_t connections;
  /// One above the highest number that a connection can get.
  uint32_t capacity;
};

/// Divides a limit of `limit` descriptors of which `open` are in use, for at most
/// `connections_max` connections.
[[nodiscard]] Descriptors divide_descriptors(uint64_t limit,
                                             uint32_t open,
                                             uint32_t connections_max);

}  // namespace megacomet::startup
