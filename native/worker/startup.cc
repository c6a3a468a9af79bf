// Checks and process settings before a worker serves. See startup.h.
#include "worker/startup.h"

#include <algorithm>

#include "base/bounds.h"
#include "connection/listener.h"
#include "os/sandbox.h"
#include "os/sys.h"
#include "worker/protocol_table.h"

namespace megacomet::startup {

namespace {

/// oom_score_adj of a worker, of 1000. The manager stays at 0, so the kernel kills a worker first,
/// and the manager replaces it.
constexpr int kOomScore = 500;

bool is_ownership(uint64_t value) {
  return value <= static_cast<uint64_t>(Ownership::kInherited);
}

bool are_flags(uint64_t value) {
  return (value & ~uint64_t{listener_flag::kProxyHeader | listener_flag::kTls}) == 0;
}

}  // namespace

bool has_flag(const frame::Configure& configure, uint8_t flag) {
  const Numbers& flags = configure.listener_flags;
  return std::any_of(
      flags.begin(), flags.end(), [flag](uint64_t one) { return (one & flag) != 0; });
}

bool is_valid(const frame::Configure& configure) {
  const Numbers& listeners = configure.listeners;
  const Numbers& flags = configure.listener_flags;
  return find_protocol(configure.protocol) >= 0 && configure.slots > 0 &&
         configure.slots <= bounds::kSlotsMax && listeners.size() <= bounds::kListenersMax &&
         flags.size() == listeners.size() && std::all_of(flags.begin(), flags.end(), are_flags) &&
         std::all_of(listeners.begin(), listeners.end(), is_ownership);
}

void restrict_process() {
  sys::raise_oom_score(kOomScore);
  // A worker binds and opens nothing. Where root started it, see guard_spawn() for other threads.
  sys::forbid_new_privileges();
  sys::drop_capabilities();
  // Without a filter in the kernel the worker still serves: everything that it shares is bounded
  // elsewhere.
  sandbox::isolate_from_processes();
}

Descriptors divide_descriptors(uint64_t limit, uint32_t open, uint32_t connections_max) {
  const uint32_t fixed = open + 1;
  const uint64_t taken = uint64_t{fixed} + bounds::kDescriptorReserve;
  const uint64_t left = limit > taken ? limit - taken : 0;
  const auto connections = static_cast<uint32_t>(std::min<uint64_t>(left, connections_max));
  return {fixed, connections, static_cast<uint32_t>(connections + taken)};
}

}  // namespace megacomet::startup
