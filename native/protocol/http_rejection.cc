// An EventSource gets a response that ends, others an error. See http_rejection.h.
#include "protocol/http_rejection.h"

#include "connection/client_limits.h"
#include "connection/drain.h"
#include "connection/input_budget.h"
#include "protocol/comet_request.h"
#include "protocol/http_answer.h"
#include "protocol/server_events.h"

namespace megacomet {

namespace {

/// Why the server does not serve a request, and when its client should return.
struct Reason {
  uint16_t code;
  std::string_view sentence;
  uint32_t wait_ms;
  void (*append_event)(uint32_t retry_ms, std::string* out);
};

/// Whether a request opens an EventSource; of an incomplete one only the first line counts.
bool is_event_source(HeadStatus status, const HttpHead& head, std::string_view request) {
  if (status == HeadStatus::kComplete) {
    return head.method == Method::kGet && head.target.path == kEventsPath;
  }
  const std::string start = std::string("GET ").append(kEventsPath);
  return request.size() > start.size() && request.substr(0, start.size()) == start &&
         (request[start.size()] == '?' || request[start.size()] == ' ');
}

/// An EventSource returns after a response that ends, and not after an error. Other clients get an
/// error with Retry-After.
std::string answer(bool is_event_source, const AnswerOptions& options, const Reason& reason) {
  if (is_event_source) {
    std::string bytes = http_stream_head(kEventStream, options.origin);
    reason.append_event(reason.wait_ms, &bytes);
    return bytes;
  }
  return http_retry_later(reason.code, (reason.wait_ms + 999) / 1000, reason.sentence, options);
}

AnswerOptions options_of(const Services& services, const HttpHead& head) {
  AnswerOptions options;
  options.origin = allowed_origin(head.value(Field::kOrigin), *services.rules);
  options.is_head_only = head.method == Method::kHead;
  return options;
}

/// The response to the request of a client, complete or not.
std::string rejection(Services& services,
                      std::string_view request,
                      bool is_last,
                      const Reason& reason) {
  HttpHead head;
  HeadProgress progress;
  const HeadStatus status = parse_head(request, &progress, &head, head_limits(services)).status;
  if (status == HeadStatus::kIncomplete && !is_last) return {};
  AnswerOptions options;
  if (status == HeadStatus::kComplete) {
    options = options_of(services, head);
  } else {
    options.origin = allowed_origin_in(services, request);
  }
  return answer(is_event_source(status, head, request), options, reason);
}

uint32_t wait_ms(Services& services) {
  return retry_after_s(services.random) * 1000;
}

Reason reason_of_server(Services& services) {
  if (services.drain_ends_ns != 0) {
    return {503, kShuttingDown, return_after_drain_ms(services), append_shutdown_event};
  }
  if (services.is_cut_off) {
    return {503, kCutOff, retry_cut_off_ms(services), append_unavailable_event};
  }
  return {503, "server full; retry later", wait_ms(services), append_full_event};
}

}  // namespace

HeadLimits head_limits(const Services& services) {
  return {services.rules->http_head_bytes_max, services.rules->http_fields_max};
}

std::string_view allowed_origin_in(const Services& services, std::string_view bytes) {
  return allowed_origin(find_value(bytes, Field::kOrigin), *services.rules);
}

std::string limit_sentence(const Services& services, Rejection reason) {
  const frame::Limits& rules = services.limits->rules();
  if (reason == Rejection::kTooFast) {
    return "too many handshakes from this address: at most " +
           std::to_string(rules.address_handshake_rate) + " a second are allowed; retry later";
  }
  return "too many connections from this address: at most " +
         std::to_string(rules.address_connections) + " are allowed; retry later";
}

std::string http_rejection(Services& services,
                           Rejection reason,
                           std::string_view request,
                           bool is_last) {
  if (reason == Rejection::kServer) {
    return rejection(services, request, is_last, reason_of_server(services));
  }
  const std::string sentence = limit_sentence(services, reason);
  return rejection(
      services, request, is_last, {429, sentence, wait_ms(services), append_limited_event});
}

std::string http_limited(Services& services, const HttpHead& head, std::string_view sentence) {
  return answer(is_event_source(HeadStatus::kComplete, head, {}),
                options_of(services, head),
                {429, sentence, wait_ms(services), append_limited_event});
}

std::string http_unavailable(Services& services, const HttpHead& head, std::string_view sentence) {
  return answer(is_event_source(HeadStatus::kComplete, head, {}),
                options_of(services, head),
                {503, sentence, wait_ms(services), append_unavailable_event});
}

std::string http_input_full(Services& services, std::string_view request) {
  return rejection(
      services, request, true, {503, kInputBudgetFull, wait_ms(services), append_full_event});
}

}  // namespace megacomet
