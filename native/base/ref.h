// A reference to an object that counts its references.
// A worker has one thread, so the count is a plain integer; std::shared_ptr uses an atomic one.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

namespace megacomet {

/// The base class of such an object. It begins with no reference, and the last Ref deletes it.
class Counted {
 public:
  Counted() = default;
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  template <typename T>
  friend class Ref;
  uint32_t holders_ = 0;
};

template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) { hold(); }
  Ref(const Ref& other) : object_(other.object_) { hold(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr && --object_->holders_ == 0) delete object_;
  }

  [[nodiscard]] T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  void hold() {
    if (object_ != nullptr) ++object_->holders_;
  }

  T* object_ = nullptr;
};

template <typename T, typename... Arguments>
Ref<T> make_ref(Arguments&&... arguments) {
  return Ref<T>(std::make_unique<T>(std::forward<Arguments>(arguments)...).release());
}

}  // namespace megacomet
