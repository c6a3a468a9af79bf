// The earliest deadline of each few records: a pass over all deadlines visits only records of which
// one may be due. A quarter of a byte for each record.
#pragma once

#include <cstdint>
#include <vector>

namespace megacomet {

class DueIndex {
 public:
  /// Records of one group, 512 bytes. With deadlines 25 s apart a third of the groups is due in
  /// each second; a pass over all records every two seconds would visit half of them.
  static constexpr uint32_t kRecords = 8;

  /// All groups are due at `now`.
  void reset(uint32_t capacity, uint16_t now) {
    earliest_.assign((capacity + kRecords - 1) / kRecords, now);
  }
  void reset(uint16_t now) { earliest_.assign(earliest_.size(), now); }

  /// A record must be visited at this tick. Called for each deadline, so it is one comparison.
  void note(int fd, uint16_t tick) {
    uint16_t& earliest = earliest_[static_cast<uint32_t>(fd) / kRecords];
    if (static_cast<int16_t>(tick - earliest) < 0) earliest = tick;
  }

  /// Whether a record of the group may be due. The caller notes the deadlines of the group anew.
  [[nodiscard]] bool take_due(uint32_t group, uint16_t now) {
    if (static_cast<int16_t>(earliest_[group] - now) > 0) return false;
    earliest_[group] = static_cast<uint16_t>(now + INT16_MAX);
    return true;
  }

  [[nodiscard]] uint32_t groups() const { return static_cast<uint32_t>(earliest_.size()); }

 private:
  std::vector<uint16_t> earliest_;
};

}  // namespace megacomet
