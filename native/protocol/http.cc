// Requests, and who answers them. See protocol_http.h.
#include "protocol/http.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "codec/digest.h"
#include "codec/http_codec.h"
#include "connection/input_budget.h"
#include "hub/mailboxes.h"
#include "protocol/comet_request.h"
#include "protocol/http_answer.h"

namespace megacomet {

namespace {

/// Sends an answer. False if the connection is gone.
bool answer(CometServices& comet,
            Connection* connection,
            std::string bytes,
            bool keeps_alive,
            CloseCause cause = CloseCause::kDone) {
  if (!comet.send(connection, make_payload(std::move(bytes)), false, SlowPolicy::kDisconnect)) {
    return false;
  }
  if (keeps_alive) return true;
  comet.finish(connection, cause);
  return false;
}

bool refuse(Services& services,
            Connection* connection,
            const HttpHead* head,
            const HttpFault& fault,
            bool keeps_alive) {
  CometServices& comet = *services.comet();
  services.counters().add(Counter::kBadRequestsTotal);
  AnswerOptions options;
  if (head != nullptr) {
    options.origin = allowed_origin(*head, comet.rules());
    options.is_head_only = head->method == Method::kHead;
  }
  if (fault.code == 405) {
    options.name = "Allow";
    options.value = "GET, HEAD, OPTIONS";
  } else if (fault.code == 426) {
    options.name = "Sec-WebSocket-Version";
    options.value = "13";
  }
  options.keeps_alive = keeps_alive;
  std::string bytes = http_error(fault.code, fault.sentence, options);
  return answer(comet, connection, std::move(bytes), keeps_alive, CloseCause::kRejected);
}

/// What a browser asks before it sends a request with headers of its own (Fetch standard, CORS).
bool answer_preflight(CometServices& comet, Connection* connection, const HttpHead& head) {
  AnswerOptions options;
  options.origin = allowed_origin(head, comet.rules());
  options.keeps_alive = keeps_alive(head);
  if (options.origin.empty()) {
    options.name = "Allow";
    options.value = "GET, HEAD, OPTIONS";
  } else {
    options.name = "Access-Control-Allow-Headers";
    options.value = "Last-Event-ID, Cache-Control";
  }
  return answer(comet, connection, http_answer(204, "", options), options.keeps_alive);
}

void open_stream(CometServices& comet,
                 Connection* connection,
                 const HttpHead& head,
                 const CometRequest& request) {
  const bool is_sse = request.route == CometRoute::kEvents;
  const std::string_view type =
      is_sse ? "text/event-stream; charset=utf-8" : "application/x-ndjson; charset=utf-8";
  const std::string_view origin = allowed_origin(head, comet.rules());
  std::string bytes = http_stream_head(type, origin);
  if (head.method == Method::kHead) {
    answer(comet, connection, std::move(bytes), false);
    return;
  }
  // By chance, so that a million clients that lose this server do not come back in one second.
  const uint32_t retry_ms = comet.rules().retry_ms;
  const uint32_t wait_ms = retry_ms / 2 + comet.random(retry_ms);
  if (is_sse) bytes.append("retry: ").append(std::to_string(wait_ms)).append("\n\n");
  comet.hand_over(connection, is_sse ? ProtocolId::kSse : ProtocolId::kStream);
  comet.set_deadline(connection, comet.rules().heartbeat_s);
  comet.gather(connection);
  comet.send(connection, make_payload(std::move(bytes)), false, SlowPolicy::kDisconnect);
  comet.subscribe(connection, request.channels, request.since ? &*request.since : nullptr);
  comet.release();
}

void open_poll(CometServices& comet,
               Connection* connection,
               const HttpHead& head,
               const CometRequest& request) {
  const frame::Comet& rules = comet.rules();
  Session* session = comet.session(connection);
  session->callback = request.callback;
  session->origin = allowed_origin(head, rules);
  session->closes_after = !keeps_alive(head);
  session->is_head_only = head.method == Method::kHead;
  comet.hand_over(connection, ProtocolId::kPoll);
  const uint32_t wanted = request.timeout_s == 0 ? rules.poll_timeout_s : request.timeout_s;
  comet.set_deadline(connection, std::min(wanted, rules.poll_timeout_s));
  comet.subscribe(connection, request.channels, request.since ? &*request.since : nullptr);
}

/// False if the connection is gone, or will be.
bool open_mailbox(CometServices& comet,
                  Connection* connection,
                  const HttpHead& head,
                  const CometRequest& request) {
  AnswerOptions options;
  options.origin = allowed_origin(head, comet.rules());
  options.content_type = "text/javascript; charset=utf-8";
  options.keeps_alive = false;
  if (head.method == Method::kHead) {
    // It takes no message: nobody would see it.
    return answer(comet, connection, http_answer(200, "", options), false);
  }
  if (!comet.mailboxes().take(connection, request.channels.front())) {
    options.content_type = "application/json";
    std::string bytes = http_retry_later(comet.retry_after_s(), "too much waits here", options);
    return answer(comet, connection, std::move(bytes), false);
  }
  if (!options.origin.empty()) comet.session(connection)->origin = options.origin;
  comet.set_deadline(connection, comet.rules().poll_timeout_s);
  // What a request that came in parts has left behind.
  comet.settle(connection);
  return true;
}

/// RFC 6455 4.2.1.
HttpFault judge_upgrade(const HttpHead& head, const frame::Comet& rules) {
  const bool asks = head.method == Method::kGet && head.minor_version == 1 &&
                    head.lists(Field::kUpgrade, "websocket") &&
                    head.lists(Field::kConnection, "upgrade");
  if (!asks) return {426, "this place speaks WebSocket only"};
  if (head.value(Field::kSecWebsocketVersion) != "13") return {426, "WebSocket version 13 only"};
  if (!is_websocket_key(head.value(Field::kSecWebsocketKey))) {
    return {400, "Sec-WebSocket-Key: not 16 bytes in base64"};
  }
  if (!may_open_websocket(head, rules)) return {403, "Origin: not allowed here"};
  return {};
}

/// All lines of the offer, joined as RFC 9110 5.3 allows.
std::string offered_extensions(const HttpHead& head) {
  std::string all;
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (head.lines[line].field() != Field::kSecWebsocketExtensions) continue;
    if (!all.empty()) all.push_back(',');
    all.append(head.lines[line].value());
  }
  return all;
}

bool open_websocket(Services& services,
                    Connection* connection,
                    const HttpHead& head,
                    const CometRequest& request) {
  CometServices& comet = *services.comet();
  const HttpFault fault = judge_upgrade(head, comet.rules());
  if (fault.code != 0) return refuse(services, connection, &head, fault, false);
  DeflateAgreement agreement;
  const DeflateOffer offer = negotiate_deflate(offered_extensions(head), &agreement);
  if (offer == DeflateOffer::kMalformed) {
    const HttpFault malformed{400, "Sec-WebSocket-Extensions: not a list of extensions"};
    return refuse(services, connection, &head, malformed, false);
  }
  std::string extensions;
  if (offer == DeflateOffer::kAgreed && missing_zlib_symbol() == nullptr) {
    append_deflate_answer(agreement, &extensions);
    connection->mode = agreement.deflate_window_bits() & 0xfU;
  }
  char accept[kWebsocketAcceptBytes];
  websocket_accept(head.value(Field::kSecWebsocketKey), accept);
  const bool is_echo = request.route == CometRoute::kWebSocketEcho;
  comet.hand_over(connection, is_echo ? ProtocolId::kWebSocketEcho : ProtocolId::kWebSocket);
  comet.set_deadline(connection, comet.rules().heartbeat_s);
  const auto head_bytes = make_payload(http_switching({accept, sizeof accept}, extensions));
  comet.gather(connection);
  comet.send(connection, head_bytes, false, SlowPolicy::kDisconnect);
  if (!is_echo && !request.channels.empty()) {
    comet.subscribe(connection, request.channels, request.since ? &*request.since : nullptr);
  }
  comet.release();
  return true;
}

/// Answers one request. False if the connection is gone, or will be.
bool handle(Services& services, Connection* connection, const HttpHead& head) {
  CometServices& comet = *services.comet();
  const uint32_t generation = connection->generation;
  services.counters().add(Counter::kRequestsTotal);
  const bool keeps = keeps_alive(head);
  // None of our places takes a body. Passing one over is more than closing is worth.
  if (head.framing != BodyFraming::kNone) {
    return refuse(services, connection, &head, {400, "a body is not taken here"}, false);
  }
  if (head.method == Method::kOptions) return answer_preflight(comet, connection, head);
  if (head.method != Method::kGet && head.method != Method::kHead) {
    return refuse(services, connection, &head, {405, "the method is not for this place"}, false);
  }
  CometRequest request;
  const HttpFault fault = read_comet_request(head, comet.rules(), &request);
  if (fault.code != 0) return refuse(services, connection, &head, fault, keeps);
  switch (request.route) {
    case CometRoute::kWebSocket:
    case CometRoute::kWebSocketEcho:
      if (!open_websocket(services, connection, head, request)) return false;
      break;
    case CometRoute::kPoll:
      open_poll(comet, connection, head, request);
      break;
    case CometRoute::kMailbox:
      if (!open_mailbox(comet, connection, head, request)) return false;
      break;
    default:
      open_stream(comet, connection, head, request);
      break;
  }
  return connection->generation == generation && connection->state != ConnectionState::kFree;
}

/// Keeps what came of a request that is not whole, where the worker has room for it.
void keep(CometServices& comet,
          Connection* connection,
          std::string_view rest,
          const HeadProgress& progress) {
  Session* session = comet.session(connection);
  session->progress = progress;
  if (comet.input_budget().keep(rest, &session->input)) return;
  std::string bytes = http_retry_later(comet.retry_after_s(), kInputBudgetFull);
  answer(comet, connection, std::move(bytes), false, CloseCause::kRejected);
}

bool speaks_http(const Connection& connection) {
  return connection.protocol == static_cast<uint8_t>(ProtocolId::kHttp);
}

/// Answers the whole requests of a text, as long as the connection is ours.
void serve(Services& services,
           Connection* connection,
           std::string_view rest,
           HeadProgress progress) {
  CometServices& comet = *services.comet();
  const uint32_t generation = connection->generation;
  while (!rest.empty()) {
    HttpHead head;
    const HeadResult result = parse_head(rest, &progress, &head);
    if (result.status == HeadStatus::kIncomplete) {
      return keep(comet, connection, rest, progress);
    }
    if (result.status == HeadStatus::kBad) {
      refuse(services, connection, nullptr, {result.answer, result.reason}, false);
      return;
    }
    progress = HeadProgress();
    if (!handle(services, connection, head)) return;
    if (connection->generation != generation || connection->state == ConnectionState::kFree) return;
    rest.remove_prefix(result.consumed);
    if (speaks_http(*connection)) continue;
    // It belongs to who took over: a poll goes on with the next request after its answer.
    if (rest.empty()) return;
    return comet.resume(connection, std::string(rest));
  }
  // Between two requests it has as long as for the first.
  comet.set_deadline(connection, comet.rules().handshake_timeout_s);
  comet.settle(connection);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  const std::string_view came(reinterpret_cast<const char*>(bytes), size);
  if (connection->state != ConnectionState::kBusy) {
    return serve(services, connection, came, HeadProgress());
  }
  Session* session = connection->session;
  if (session->is_finishing) return;
  std::string text = services.comet()->input_budget().take(&session->input);
  const HeadProgress progress = session->progress;
  session->progress = HeadProgress();
  text.append(came);
  serve(services, connection, text, progress);
}

/// The answer that it is owed still goes out.
void on_disconnect(Services& services, Connection* connection, CloseCause cause) {
  services.comet()->finish(connection, cause);
}

std::string refusal(Services& services) {
  const uint32_t wait_s = services.comet()->retry_after_s();
  return http_retry_later(wait_s, "the server is full: come back later");
}

}  // namespace

const Protocol kHttpProtocol = {
    "comet", on_bytes, nullptr, on_disconnect, nullptr, nullptr, nullptr, refusal};

}  // namespace megacomet
