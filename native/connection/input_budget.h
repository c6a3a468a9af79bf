// Bytes of incomplete requests and messages: one budget for all clients of a worker.
// The bytes stay in the sessions; here they are counted.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "ipc/segment.h"

namespace megacomet {

/// The error for a client whose incomplete request exceeds the budget.
constexpr std::string_view kInputBudgetFull = "too many incomplete requests; retry later";

class InputBudget {
 public:
  explicit InputBudget(Counters* counters) : counters_(counters) {}
  InputBudget(const InputBudget&) = delete;
  InputBudget& operator=(const InputBudget&) = delete;

  /// Bytes that all clients of the worker together may leave here.
  void set_bytes_max(uint64_t bytes) { bytes_max_ = bytes; }

  [[nodiscard]] bool has_room(size_t bytes) const {
    return counters_->get(Counter::kInputBudgetBytes) + bytes <= bytes_max_;
  }

  /// Appends bytes to `kept`. False if they exceed the budget: nothing was kept, and the caller
  /// ends the connection. Only the client whose bytes exceed it is affected.
  [[nodiscard]] bool keep(std::string_view bytes, std::string* kept) {
    if (!has_room(bytes.size())) {
      counters_->add(Counter::kInputBudgetFullTotal);
      return false;
    }
    counters_->add(Counter::kInputBudgetBytes, bytes.size());
    kept->append(bytes);
    return true;
  }

  /// The bytes of `kept`, which is empty then.
  [[nodiscard]] std::string take(std::string* kept) {
    counters_->subtract(Counter::kInputBudgetBytes, kept->size());
    return std::exchange(*kept, std::string());
  }

  /// Bytes that are dropped with their connection.
  void forget(size_t bytes) { counters_->subtract(Counter::kInputBudgetBytes, bytes); }

 private:
  Counters* counters_;
  uint64_t bytes_max_ = 0;
};

}  // namespace megacomet
