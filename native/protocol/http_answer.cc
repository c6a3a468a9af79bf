// Heads and errors. See http_answer.h.
#include "protocol/http_answer.h"

#include "base/bounds.h"
#include "codec/http_writer.h"
#include "codec/json_writer.h"
#include "protocol/http_date.h"

namespace megacomet {

namespace {

/// Our own fields and an origin of the allow-list; far below the limit of a head.
constexpr size_t kHeadBytes = 4096;

/// Chromium's maximum; other browsers keep the answer to a preflight longer.
constexpr uint64_t kPreflightSeconds = 7200;

/// The head of RFC 6455 4.2.2. The values that follow are base64, extensions that deflate_codec.cc
/// writes, and a subprotocol of the options: no text of a client, so no field has to be checked.
constexpr std::string_view kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: ";
constexpr std::string_view kSubprotocol = "\r\nSec-WebSocket-Protocol: ";
constexpr std::string_view kExtensions = "\r\nSec-WebSocket-Extensions: ";

void write_origin(HttpWriter* writer, std::string_view origin) {
  if (origin.empty()) return;
  writer->field("Access-Control-Allow-Origin", origin);
  writer->field("Access-Control-Expose-Headers", "Megacomet-Cursor, Retry-After");
  // The Fetch standard allows credentials for a named origin only, and "null" is not an identity.
  if (origin == "*" || origin == "null") return;
  writer->field("Access-Control-Allow-Credentials", "true");
  writer->field("Vary", "Origin");
}

void write_preflight(HttpWriter* writer, std::string_view allowed_headers) {
  if (allowed_headers.empty()) return;
  writer->field("Access-Control-Allow-Methods", "GET, HEAD");
  writer->field("Access-Control-Allow-Headers", allowed_headers);
  writer->number("Access-Control-Max-Age", kPreflightSeconds);
}

std::string written(const HttpWriter& writer) {
  return std::string(writer.written());
}

}  // namespace

std::string http_answer(uint16_t code, std::string_view content, const AnswerOptions& options) {
  char buffer[kHeadBytes];
  HttpWriter writer(buffer, sizeof buffer);
  writer.status(code);
  writer.field("Date", http_date());
  write_origin(&writer, options.origin);
  write_preflight(&writer, options.allowed_headers);
  if (options.asks_for_upgrade) {
    writer.field("Upgrade", "websocket");
    writer.field("Sec-WebSocket-Version", "13");
  }
  if (!options.name.empty()) writer.field(options.name, options.value);
  if (!options.cursor.empty()) writer.field("Megacomet-Cursor", options.cursor);
  writer.field("Cache-Control", "no-store");
  writer.field("X-Content-Type-Options", "nosniff");
  if (code != 204) {
    writer.field("Content-Type", options.content_type);
    writer.number("Content-Length", content.size());
  }
  // RFC 9110 7.8: a sender of Upgrade lists it in Connection.
  writer.field("Connection",
               options.asks_for_upgrade ? "close, upgrade"
               : options.keeps_alive    ? "keep-alive"
                                        : "close");
  writer.finish();
  std::string out = written(writer);
  if (!options.is_head_only && code != 204) out.append(content);
  return out;
}

std::string http_error(uint16_t code, std::string_view sentence, const AnswerOptions& options) {
  std::string content = "{\"error\":";
  append_json_string(sentence, &content);
  content.append("}\n");
  return http_answer(code, content, options);
}

uint32_t retry_after_s(Random* random) {
  return bounds::kRetryAfterMinS +
         random->below(bounds::kRetryAfterMaxS - bounds::kRetryAfterMinS + 1);
}

std::string http_retry_later(uint16_t code,
                             uint32_t wait_s,
                             std::string_view sentence,
                             AnswerOptions options) {
  const std::string wait = std::to_string(wait_s);
  options.name = "Retry-After";
  options.value = wait;
  options.keeps_alive = false;
  return http_error(code, sentence, options);
}

std::string http_stream_head(std::string_view content_type, std::string_view origin) {
  char buffer[kHeadBytes];
  HttpWriter writer(buffer, sizeof buffer);
  writer.status(200);
  writer.field("Date", http_date());
  write_origin(&writer, origin);
  writer.field("Content-Type", content_type);
  // RFC 9111 5.2.2.6: a proxy that compresses would hold messages back.
  writer.field("Cache-Control", "no-store, no-transform");
  writer.field("X-Content-Type-Options", "nosniff");
  // nginx would buffer the response.
  writer.field("X-Accel-Buffering", "no");
  writer.field("Connection", "close");
  writer.finish();
  return written(writer);
}

std::string http_switching(std::string_view accept,
                           std::string_view extensions,
                           std::string_view subprotocol) {
  std::string out;
  out.reserve(kSwitching.size() + accept.size() + kExtensions.size() + extensions.size() +
              kSubprotocol.size() + subprotocol.size() + 4);
  out.append(kSwitching).append(accept);
  if (!extensions.empty()) out.append(kExtensions).append(extensions);
  if (!subprotocol.empty()) out.append(kSubprotocol).append(subprotocol);
  return out.append("\r\n\r\n");
}

}  // namespace megacomet
