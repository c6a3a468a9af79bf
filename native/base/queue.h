// A first-in first-out queue in one vector.
// Not std::deque, which needs a symbol of GCC 11's libstdc++: Node runs on older ones.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace megacomet {

template <typename T>
class Queue {
 public:
  void push_back(T item) { items_.push_back(std::move(item)); }

  [[nodiscard]] const T& front() const { return items_[first_]; }

  void pop_front() {
    items_[first_] = T();
    ++first_;
    // The items move to the front only when half of the vector is unused, so a pop costs constant
    // time on average.
    if (first_ * 2 < items_.size()) return;
    items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }

  [[nodiscard]] size_t size() const { return items_.size() - first_; }
  [[nodiscard]] bool empty() const { return size() == 0; }

  [[nodiscard]] const T* begin() const { return items_.data() + first_; }
  [[nodiscard]] const T* end() const { return items_.data() + items_.size(); }

 private:
  std::vector<T> items_;
  size_t first_ = 0;
};

}  // namespace megacomet
