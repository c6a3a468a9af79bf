// Counting the messages of clients. See publish_limits.h.
#include "hub/publish_limits.h"

#include <algorithm>

namespace megacomet {

void PublishLimits::set_worker_rate(uint64_t rate_milli) {
  all_.set_rate(static_cast<uint32_t>(std::min<uint64_t>(rate_milli, UINT32_MAX)));
}

}  // namespace megacomet
