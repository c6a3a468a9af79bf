// Texts that many records share: each is kept once, under a number, until its last user is gone.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/row_index.h"

namespace megacomet {

class SharedTexts {
 public:
  /// The number of no text.
  static constexpr uint32_t kNone = 0;

  /// The number of a text, with one user more.
  [[nodiscard]] uint32_t acquire(std::string_view text);
  /// One user more, of a text that has one.
  void hold(uint32_t number);
  /// One user less. True if it was the last one: the number may name another text from now on.
  bool release(uint32_t number);

  /// Valid until its last user is gone.
  [[nodiscard]] std::string_view at(uint32_t number) const;
  [[nodiscard]] size_t size() const { return index_.size(); }

 private:
  struct Row {
    std::unique_ptr<char[]> text;
    uint32_t bytes = 0;
    uint32_t users = 0;
  };

  /// By number - 1.
  std::vector<Row> rows_;
  std::vector<uint32_t> free_;
  RowIndex index_;
};

}  // namespace megacomet
