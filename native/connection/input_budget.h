// What clients sent and nobody can act on yet, since its rest has not come: one budget for all of a
// worker. The bytes stay in the sessions; here they are counted, in one figure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "ipc/segment.h"

namespace megacomet {

/// What a client is told for whom there is no room.
constexpr std::string_view kInputBudgetFull =
    "too many requests are half read here: come back later";

class InputBudget {
 public:
  explicit InputBudget(Counters* counters) : counters_(counters) {}
  InputBudget(const InputBudget&) = delete;
  InputBudget& operator=(const InputBudget&) = delete;

  /// Bytes that all clients of the worker together may leave here.
  void set_bytes_max(uint64_t bytes) { bytes_max_ = bytes; }

  /// Puts bytes behind those of `place`. False if there is no room: nothing was kept, and the
  /// caller ends the connection. Whoever would take more goes, and nobody else.
  [[nodiscard]] bool keep(std::string_view bytes, std::string* place) {
    if (counters_->get(Counter::kInputBudgetBytes) + bytes.size() > bytes_max_) {
      counters_->add(Counter::kInputBudgetFullTotal);
      return false;
    }
    counters_->add(Counter::kInputBudgetBytes, bytes.size());
    place->append(bytes);
    return true;
  }

  /// What was kept in `place`, which is empty then.
  [[nodiscard]] std::string take(std::string* place) {
    counters_->subtract(Counter::kInputBudgetBytes, place->size());
    return std::exchange(*place, std::string());
  }

  /// Bytes that go away with their connection.
  void forget(size_t bytes) { counters_->subtract(Counter::kInputBudgetBytes, bytes); }

 private:
  Counters* counters_;
  uint64_t bytes_max_ = 0;
};

}  // namespace megacomet
