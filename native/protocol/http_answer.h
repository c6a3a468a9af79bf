// Complete responses of the comet server over HTTP.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/random.h"

namespace megacomet {

/// The Content-Type of an EventSource's response.
inline constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

/// The parts of a response that are neither its code nor its content.
struct AnswerOptions {
  /// For Access-Control-Allow-Origin; empty for none.
  std::string_view origin = {};
  std::string_view content_type = "application/json";
  /// Name and value of a further field, such as Allow; empty for none.
  std::string_view name = {};
  std::string_view value = {};
  std::string_view cursor = {};
  /// For a preflight: the value of Access-Control-Allow-Headers; empty for none.
  std::string_view allowed_headers = {};
  /// 426: the response asks for a WebSocket upgrade (RFC 9110 15.5.22).
  bool asks_for_upgrade = false;
  bool keeps_alive = true;
  /// HEAD: the head of the response to GET, without its content.
  bool is_head_only = false;
};

/// A head and its content. Code 204 has neither content nor length.
[[nodiscard]] std::string http_answer(uint16_t code,
                                      std::string_view content,
                                      const AnswerOptions& options);

/// An error as JSON: `{"error":"…"}`.
[[nodiscard]] std::string http_error(uint16_t code,
                                     std::string_view sentence,
                                     const AnswerOptions& options);

/// Randomised Retry-After in seconds, so that clients rejected together do not return together.
[[nodiscard]] uint32_t retry_after_s(Random* random);

/// An error with Retry-After, such as 503. The last response of its connection.
[[nodiscard]] std::string http_retry_later(uint16_t code,
                                           uint32_t wait_s,
                                           std::string_view sentence,
                                           AnswerOptions options = {});

/// The head of an endless response. It ends with its connection, so it needs no chunks.
[[nodiscard]] std::string http_stream_head(std::string_view content_type, std::string_view origin);

/// The head that upgrades a connection to a WebSocket. `extensions` and `subprotocol` are empty for
/// none.
[[nodiscard]] std::string http_switching(std::string_view accept,
                                         std::string_view extensions,
                                         std::string_view subprotocol);

}  // namespace megacomet
