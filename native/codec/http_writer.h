// Writes heads of HTTP/1.1 responses. No value can forge a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

/// Writes the head of a response, and content after it, into the caller's buffer. It rejects text
/// that does not fit, and names and values that could end a line early; written() is empty then.
class HttpWriter {
 public:
  HttpWriter(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {}

  /// The first line. `code` has three digits.
  void status(uint16_t code);

  void field(std::string_view name, std::string_view value);
  void number(std::string_view name, uint64_t value);

  /// Ends the head.
  void finish();

  /// Any bytes, after the head.
  void content(std::string_view bytes) { put(bytes); }

  [[nodiscard]] bool is_ok() const { return is_ok_; }

  /// Everything written so far; empty after a rejection.
  [[nodiscard]] std::string_view written() const {
    return is_ok_ ? std::string_view(buffer_, size_) : std::string_view();
  }

 private:
  void put(std::string_view bytes);

  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  bool is_ok_ = true;
};

}  // namespace megacomet
