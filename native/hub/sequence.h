// The position of a worker in the manager's one sequence of messages.
#pragma once

#include <cstdint>

#include "codec/cursor.h"

namespace megacomet {

struct Sequence {
  uint64_t epoch = 0;
  /// The number of the last message that this worker received or knows of.
  uint64_t head = 0;

  [[nodiscard]] Cursor cursor() const { return {epoch, head}; }
};

}  // namespace megacomet
