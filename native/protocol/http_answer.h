// Whole answers of the comet server over HTTP. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace megacomet {

/// What an answer says besides its code and content.
struct AnswerOptions {
  /// For Access-Control-Allow-Origin; empty for none.
  std::string_view origin = {};
  std::string_view content_type = "application/json";
  /// A further line, such as `Allow: GET, HEAD`, name and value apart; empty for none.
  std::string_view name = {};
  std::string_view value = {};
  std::string_view cursor = {};
  bool keeps_alive = true;
  /// HEAD: the head of the answer to GET, without its content.
  bool is_head_only = false;
};

/// A head and its content. Codes without content (204) have no length either.
[[nodiscard]] std::string http_answer(uint16_t code,
                                      std::string_view content,
                                      const AnswerOptions& options);

/// An error as JSON: `{"error":"…"}`.
[[nodiscard]] std::string http_error(uint16_t code,
                                     std::string_view sentence,
                                     const AnswerOptions& options);

/// 503: no room now, and the seconds after which to try again. The last answer of its connection.
[[nodiscard]] std::string http_retry_later(uint32_t wait_s,
                                           std::string_view sentence,
                                           AnswerOptions options = {});

/// The head of an answer that never ends. Closed by its end, so it needs no chunks.
[[nodiscard]] std::string http_stream_head(std::string_view content_type, std::string_view origin);

/// The head that makes a connection a WebSocket. `extensions` is empty for none.
[[nodiscard]] std::string http_switching(std::string_view accept, std::string_view extensions);

}  // namespace megacomet
