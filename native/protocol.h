// What a protocol fills in. Level 5. Protocols never name each other.
#pragma once

#include <cstddef>
#include <cstdint>

#include "services.h"

namespace megacomet {

/// A table of functions over a worker's services, one connection and its bytes.
struct Protocol {
  const char* name;

  /// Bytes arrived. They are valid during the call only.
  void (*on_bytes)(Services& services, Connection* connection, const uint8_t* bytes, size_t size);
};

}  // namespace megacomet
