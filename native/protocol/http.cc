// Requests, and the transports that answer them. See http.h.
#include "protocol/http.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "base/bounds.h"
#include "codec/digest.h"
#include "codec/foreign_protocol.h"
#include "codec/forwarded.h"
#include "codec/http_codec.h"
#include "codec/sse_codec.h"
#include "connection/client_limits.h"
#include "connection/client_rates.h"
#include "connection/input_budget.h"
#include "connection/rejection_log.h"
#include "connection/sender.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "protocol/client_access.h"
#include "protocol/comet_request.h"
#include "protocol/endless_response.h"
#include "protocol/hook_request_fields.h"
#include "protocol/http_answer.h"
#include "protocol/http_rejection.h"

namespace megacomet {

namespace {

constexpr std::string_view kAllowedMethods = "GET, HEAD, OPTIONS";

/// Fields of requests that a page may set, where the preflight does not name them.
constexpr std::string_view kUsualHeaders =
    "Authorization, Cache-Control, Content-Type, Last-Event-ID, Traceparent, X-Requested-With";
constexpr size_t kRequestedHeadersBytesMax = 1024;
constexpr ascii::CharSet kHeaderList = ascii::kToken.with(", ");

/// One request, and the parts of it that its response needs.
struct RequestContext {
  Services& services;
  Connection* connection;
  const HttpHead& head;
  /// For Access-Control-Allow-Origin; empty for none.
  std::string_view origin;
  bool keeps_alive;
  bool is_head_only;

  [[nodiscard]] AnswerOptions options() const {
    AnswerOptions options;
    options.origin = origin;
    options.keeps_alive = keeps_alive;
    options.is_head_only = is_head_only;
    return options;
  }
  [[nodiscard]] const frame::Comet& rules() const { return *services.rules; }
};

RequestContext context_of(Services& services, Connection* connection, const HttpHead& head) {
  return {services,
          connection,
          head,
          allowed_origin(head.value(Field::kOrigin), *services.rules),
          keeps_alive(head),
          head.method == Method::kHead};
}

/// Sends a response, which ends the connection with `cause` unless it is kept alive.
void respond(Services& services,
             Connection* connection,
             std::string bytes,
             bool keeps_alive,
             CloseCause cause = CloseCause::kDone) {
  if (!services.sender->send(connection, make_payload(std::move(bytes)))) return;
  if (!keeps_alive) services.sender->finish(connection, cause);
}

Counter cause_of(const HttpFault& fault) {
  if (*fault.challenge != '\0') return Counter::kBadRequestsTokenTotal;
  switch (fault.code) {
    case 403:
      return Counter::kBadRequestsOriginTotal;
    case 404:
      return Counter::kBadRequestsPathTotal;
    case 413:
    case 414:
    case 431:
      return Counter::kBadRequestsSizeTotal;
    default:
      return Counter::kBadRequestsOtherTotal;
  }
}

void reject(Services& services,
            Connection* connection,
            const HttpFault& fault,
            AnswerOptions options,
            std::string_view path) {
  services.counters->add(Counter::kBadRequestsTotal);
  services.counters->add(cause_of(fault));
  services.rejections->note_request(
      fault.code, fault.sentence, loggable_path(path, *services.rules));
  options.asks_for_upgrade = fault.code == 426;
  if (fault.code == 405) {
    options.name = "Allow";
    options.value = kAllowedMethods;
  } else if (*fault.challenge != '\0') {
    options.name = "WWW-Authenticate";
    options.value = fault.challenge;
  }
  std::string bytes = http_error(fault.code, fault.sentence, options);
  respond(services, connection, std::move(bytes), options.keeps_alive, CloseCause::kRejected);
}

void reject(const RequestContext& context, const HttpFault& fault) {
  const std::string_view path = context.head.target.path;
  reject(context.services, context.connection, fault, context.options(), path);
}

void reject_and_close(const RequestContext& context, const HttpFault& fault) {
  AnswerOptions options = context.options();
  options.keeps_alive = false;
  reject(context.services, context.connection, fault, options, context.head.target.path);
}

/// The request may succeed later. Not counted as bad: the client made no mistake.
void reject_for_now(const RequestContext& context, const HttpFault& fault) {
  std::string bytes = http_unavailable(context.services, context.head, fault.sentence);
  respond(context.services, context.connection, std::move(bytes), false, CloseCause::kRejected);
}

/// Rejects a request over a limit of its address or user.
void reject_limited(const RequestContext& context, std::string_view sentence) {
  Services& services = context.services;
  services.counters->add(Counter::kBadRequestsTotal);
  services.counters->add(Counter::kBadRequestsLimitedTotal);
  std::string bytes = http_limited(services, context.head, sentence);
  respond(services, context.connection, std::move(bytes), false, CloseCause::kRejected);
}

/// Counts a request that a trusted proxy passes on at the address of its client. False if that
/// exceeds a limit: the request is rejected.
bool count_client(const RequestContext& context) {
  if (!ClientLimits::is_of_proxy(*context.connection)) return true;
  ClientLimits& limits = *context.services.limits;
  const auto is_trusted = [&limits](const IpAddress& one) { return limits.is_trusted(one); };
  IpAddress address;
  if (!find_client(context.head, is_trusted, &address)) return true;
  const Allowance allowance = limits.change(context.connection, address);
  if (allowance == Allowance::kGranted) return true;
  reject_limited(context, limit_sentence(context.services, rejection_of(allowance)));
  return false;
}

/// A browser sends it before a request with headers of its own (Fetch standard, CORS).
void answer_preflight(const RequestContext& context) {
  AnswerOptions options = context.options();
  if (options.origin.empty()) {
    options.name = "Allow";
    options.value = kAllowedMethods;
  } else {
    // The server reads no field that a page could misuse, so every requested one is allowed.
    const std::string_view requested = context.head.value(Field::kAccessControlRequestHeaders);
    const bool is_list = !requested.empty() && requested.size() <= kRequestedHeadersBytesMax &&
                         kHeaderList.has_all(requested);
    options.allowed_headers = is_list ? requested : kUsualHeaders;
  }
  respond(context.services, context.connection, http_answer(204, "", options), options.keeps_alive);
}

void subscribe(const RequestContext& context, const CometRequest& request) {
  context.services.subscriptions->subscribe(
      context.connection, request.channels, request.since ? &*request.since : nullptr);
}

void open_stream(const RequestContext& context, const CometRequest& request) {
  Services& services = context.services;
  Connection* connection = context.connection;
  const bool is_sse = request.route == CometRoute::kEvents;
  const std::string_view type = is_sse ? kEventStream : "application/x-ndjson; charset=utf-8";
  std::string bytes = http_stream_head(type, context.origin);
  if (context.is_head_only) return respond(services, connection, std::move(bytes), false);
  // Randomised, so that a million clients that lose this server do not reconnect in one second.
  const uint32_t retry_ms = context.rules().retry_ms;
  const uint32_t wait_ms = retry_ms / 2 + services.random->below(retry_ms);
  // The first event ends the block of this line.
  if (is_sse) append_sse_retry(wait_ms, &bytes);
  hand_over(connection, is_sse ? ProtocolId::kSse : ProtocolId::kStream);
  open_endless_response(services,
                        connection,
                        std::move(bytes),
                        request.channels,
                        request.since ? &*request.since : nullptr);
}

void open_poll(const RequestContext& context, const CometRequest& request) {
  Connection* connection = context.connection;
  Session* session = context.services.sessions->acquire(connection);
  session->callback = request.callback;
  session->origin = context.origin;
  session->closes_after = !context.keeps_alive;
  session->is_head_only = context.is_head_only;
  hand_over(connection, ProtocolId::kPoll);
  const uint32_t timeout_max_s = context.rules().poll_timeout_s;
  const uint32_t timeout_s = std::min(request.timeout_s.value_or(timeout_max_s), timeout_max_s);
  session->answers_at_once = timeout_s == 0;
  // A poll that is answered at once waits for the missed messages, but not for a manager that is
  // stopped.
  context.services.connections->set_deadline(connection, std::max(timeout_s, 1U));
  subscribe(context, request);
}

void open_mailbox(const RequestContext& context, const CometRequest& request) {
  Services& services = context.services;
  Connection* connection = context.connection;
  AnswerOptions options = context.options();
  options.keeps_alive = false;
  if (context.is_head_only) {
    // HEAD leases no message, because its response has no content.
    options.content_type = "text/javascript; charset=utf-8";
    return respond(services, connection, http_answer(200, "", options), false);
  }
  if (!services.mail->wait_for_mail(connection, request.channels.front())) {
    const uint32_t wait_s = retry_after_s(services.random);
    std::string bytes = http_retry_later(503, wait_s, "server busy; retry later", options);
    return respond(services, connection, std::move(bytes), false);
  }
  if (!context.origin.empty()) services.sessions->acquire(connection)->origin = context.origin;
  services.connections->set_deadline(connection, context.rules().poll_timeout_s);
  // A request that arrived in parts has left a session.
  services.sessions->release(connection);
}

/// RFC 6455 4.2.1.
HttpFault check_upgrade(const RequestContext& context) {
  const HttpHead& head = context.head;
  const bool is_upgrade = head.method == Method::kGet && head.minor_version == 1 &&
                          head.lists(Field::kUpgrade, "websocket") &&
                          head.lists(Field::kConnection, "upgrade");
  if (!is_upgrade) return {426, "this endpoint requires a WebSocket upgrade"};
  if (head.value(Field::kSecWebsocketVersion) != "13") {
    return {426, "Sec-WebSocket-Version: must be 13"};
  }
  if (!is_websocket_key(head.value(Field::kSecWebsocketKey))) {
    return {400, "Sec-WebSocket-Key: not 16 bytes in base64"};
  }
  if (is_foreign_origin(head, context.origin)) return {403, "Origin: not allowed here"};
  return {};
}

/// The first subprotocol of the client that the server accepts; empty if there is none. Browsers
/// fail a connection that answers none of those they offered.
std::string_view chosen_subprotocol(const RequestContext& context) {
  const HttpHead& head = context.head;
  if (!head.has(Field::kSecWebsocketProtocol)) return {};
  const std::vector<std::string>& accepted = context.rules().subprotocols;
  for (size_t line = 0; line < head.lines_count; ++line) {
    if (head.lines[line].field() != Field::kSecWebsocketProtocol) continue;
    std::string_view list = head.lines[line].value();
    std::string_view offered;
    while (next_member(&list, &offered)) {
      if (std::find(accepted.begin(), accepted.end(), offered) != accepted.end()) return offered;
    }
  }
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

void open_websocket(const RequestContext& context, const CometRequest& request) {
  Services& services = context.services;
  Connection* connection = context.connection;
  const HttpFault fault = check_upgrade(context);
  if (fault.code != 0) return reject_and_close(context, fault);
  DeflateAgreement agreement;
  const DeflateOffer offer = negotiate_deflate(offered_extensions(context.head), &agreement);
  if (offer == DeflateOffer::kMalformed) {
    return reject_and_close(context, {400, "Sec-WebSocket-Extensions: not a list of extensions"});
  }
  std::string extensions;
  const bool may_compress = (context.rules().flags & comet_flag::kWebSocketCompression) != 0 &&
                            missing_zlib_symbol() == nullptr;
  if (offer == DeflateOffer::kAgreed && may_compress) {
    append_deflate_answer(agreement, &extensions);
    connection->mode = agreement.deflate_window_bits() & 0xfU;
  }
  char accept[kWebsocketAcceptBytes];
  websocket_accept(context.head.value(Field::kSecWebsocketKey), accept);
  const bool is_echo = request.route == CometRoute::kWebSocketEcho;
  hand_over(connection, is_echo ? ProtocolId::kWebSocketEcho : ProtocolId::kWebSocket);
  // A client that may do nothing must connect in time; see websocket.cc.
  const bool must_connect =
      !is_echo && request.channels.empty() && is_unknown(services, connection);
  services.connections->set_deadline(
      connection, must_connect ? context.rules().handshake_timeout_s : context.rules().heartbeat_s);
  services.sender->gather(connection);
  services.sender->send(connection,
                        make_payload(http_switching(
                            {accept, sizeof accept}, extensions, chosen_subprotocol(context))));
  if (!is_echo && !request.channels.empty()) subscribe(context, request);
  services.sender->flush_gathered();
}

/// Notes a page that may not use the server, before or after its request is rejected. A response
/// without Access-Control-Allow-Origin is hidden from its page, which then looks like a network
/// error.
void note_foreign_page(const RequestContext& context, bool is_script) {
  const bool is_foreign = is_foreign_origin(context.head, context.origin);
  if (is_foreign || is_script) context.services.rejections->note_origin(page_origin(context.head));
}

void reject_access(const RequestContext& context, const HttpFault& fault) {
  if (fault.code == 503) return reject_for_now(context, fault);
  if (fault.code == 429) return reject_limited(context, fault.sentence);
  // A client that guesses tokens connects again for each try.
  if (fault.code == 401) return reject_and_close(context, fault);
  reject(context, fault);
}

/// Counts a question to the application as a command of a WebSocket. False if there are too many:
/// the request is rejected.
bool count_hook_request(const RequestContext& context) {
  const Services& services = context.services;
  if (services.commands->pace(name_of(*context.connection)) == Pace::kAllowed) return true;
  services.counters->add(Counter::kLimitedCommandsTotal);
  reject_limited(context, "too many requests that need a decision; retry later");
  return false;
}

/// The request waits for the application's decision, and is read again then.
void ask(const RequestContext& context, frame::HookRequest hook_request) {
  if (!count_hook_request(context)) return;
  if (!context.services.hooks->ask(context.connection, std::move(hook_request))) {
    return reject_for_now(context, {503, kUndecided});
  }
  hand_over(context.connection, ProtocolId::kPendingRequest);
}

void serve(const RequestContext& context, const CometRequest& request) {
  if (needs_channel(request.route) && request.channels.empty()) {
    return reject(context, {400, "channel is required"});
  }
  switch (request.route) {
    case CometRoute::kWebSocket:
    case CometRoute::kWebSocketEcho:
      return open_websocket(context, request);
    case CometRoute::kPoll:
      return open_poll(context, request);
    case CometRoute::kMailbox:
      return open_mailbox(context, request);
    default:
      return open_stream(context, request);
  }
}

/// `decision` is about the hook request of the request before; null in its first call.
void handle(const RequestContext& context, const HookDecision* decision) {
  if (decision == nullptr) {
    context.services.counters->add(Counter::kRequestsTotal);
    if (!count_client(context)) return;
  }
  // No endpoint accepts a body. Skipping one would cost more than closing.
  if (context.head.framing != BodyFraming::kNone) {
    return reject_and_close(context, {400, "a request body is not accepted"});
  }
  if (context.head.method == Method::kOptions) {
    note_foreign_page(context, false);
    return answer_preflight(context);
  }
  if (context.head.method != Method::kGet && !context.is_head_only) {
    return reject_and_close(context, {405, "method not allowed"});
  }
  CometRequest request;
  const HttpFault fault = read_comet_request(context.head, context.rules(), &request);
  note_foreign_page(context, fault.code == 403);
  if (fault.code != 0) return reject(context, fault);
  AccessCheck access =
      check_request_access(context.services, context.connection, context.head, &request, decision);
  if (access.fault.code != 0) return reject_access(context, access.fault);
  if (access.hook_request) return ask(context, std::move(*access.hook_request));
  // As after 401: each token that has to be verified in vain costs its client a handshake.
  RequestContext served = context;
  served.keeps_alive = context.keeps_alive && !access.has_rejected_token;
  serve(served, request);
}

void reject_head(Services& services,
                 Connection* connection,
                 const HeadResult& result,
                 std::string_view bytes) {
  const ForeignProtocol foreign = foreign_protocol(bytes);
  if (foreign != ForeignProtocol::kNone) services.rejections->note_protocol(foreign);
  AnswerOptions options;
  options.origin = allowed_origin_in(services, bytes);
  options.keeps_alive = false;
  if (result.limit == 0) {
    return reject(services, connection, {result.answer, result.reason}, options, {});
  }
  const std::string sentence =
      std::string(result.reason) + ": at most " + std::to_string(result.limit) + " are allowed";
  reject(services, connection, {result.answer, sentence.c_str()}, options, {});
}

/// Keeps a request, and the bytes after it, until the application has decided.
void keep_pending(Services& services, Connection* connection, std::string_view bytes) {
  services.connections->set_deadline(connection, services.rules->heartbeat_s);
  Session* session = services.sessions->acquire(connection);
  static_cast<void>(services.connections->keep_input(connection, bytes, &session->input));
}

/// Answers the complete requests of a text while the connection speaks HTTP. `decision` is about
/// the first of them, or null.
void serve(Services& services,
           Connection* connection,
           std::string_view rest,
           HeadProgress progress,
           const HookDecision* decision = nullptr) {
  const uint32_t generation = connection->generation;
  const auto is_open = [connection, generation] {
    return connection->generation == generation && !connection->is_closing;
  };
  const HeadLimits limits = head_limits(services);
  while (!rest.empty()) {
    HttpHead head;
    const bool is_begun = progress.scanned > 0;
    const HeadResult result = parse_head(rest, &progress, &head, limits);
    if (result.status == HeadStatus::kIncomplete) {
      // A connection may stay idle for longer than a request may take.
      if (!is_begun) {
        services.connections->shorten_deadline(connection, services.rules->handshake_timeout_s);
      }
      if (rest.size() > bounds::kSlowInputBytes) {
        services.connections->shorten_deadline(connection, bounds::kLongInputSeconds);
      }
      Session* session = services.sessions->acquire(connection);
      session->progress = progress;
      if (services.input_budget->keep(rest, &session->input)) return;
      std::string bytes = http_input_full(services, rest);
      return respond(services, connection, std::move(bytes), false, CloseCause::kRejected);
    }
    if (result.status == HeadStatus::kBad) return reject_head(services, connection, result, rest);
    progress = HeadProgress();
    handle(context_of(services, connection, head), std::exchange(decision, nullptr));
    if (!is_open()) return;
    if (connection->protocol == static_cast<uint8_t>(ProtocolId::kPendingRequest)) {
      return keep_pending(services, connection, rest);
    }
    rest.remove_prefix(result.consumed);
    if (connection->protocol == static_cast<uint8_t>(ProtocolId::kHttp)) continue;
    // The other protocol reads the rest: a poll keeps the next request until it responds.
    if (!rest.empty()) services.connections->feed(connection, std::string(rest));
    return;
  }
  await_request(services, connection);
  services.sessions->release(connection);
}

/// A client that connects and sends nothing must not stay.
void on_accept(Services& services, Connection* connection) {
  services.connections->set_deadline(connection, services.rules->handshake_timeout_s);
}

void on_bytes(Services& services, Connection* connection, uint8_t* bytes, size_t size) {
  const std::string_view arrived(reinterpret_cast<const char*>(bytes), size);
  if (!connection->is_busy()) return serve(services, connection, arrived, HeadProgress());
  if (connection->is_closing) return;
  Session* session = connection->session;
  std::string text = services.input_budget->take(&session->input);
  const HeadProgress progress = session->progress;
  session->progress = HeadProgress();
  text.append(arrived);
  serve(services, connection, text, progress);
}

/// A queued response is still sent.
void on_disconnect(Services& services, Connection* connection, CloseCause cause, std::string_view) {
  services.sender->finish(connection, cause);
}

constexpr Protocol make_protocol() {
  Protocol protocol;
  protocol.on_accept = on_accept;
  protocol.on_bytes = on_bytes;
  protocol.on_disconnect = on_disconnect;
  protocol.reject = http_rejection;
  protocol.is_read_at_accept = true;
  return protocol;
}

}  // namespace

constexpr Protocol kHttpProtocol = make_protocol();

void resume_request(Services& services, Connection* connection, const HookDecision& decision) {
  const uint32_t generation = connection->generation;
  hand_over(connection, ProtocolId::kHttp);
  const std::string text = services.input_budget->take(&connection->session->input);
  serve(services, connection, text, HeadProgress(), &decision);
  if (connection->generation == generation) services.sessions->release(connection);
}

void await_request(Services& services, Connection* connection) {
  if (ClientLimits::is_of_proxy(*connection)) services.limits->end_request(connection);
  // Sender sets the deadline of a connection that becomes blocked. One that was blocked before has
  // the deadline of the last request.
  services.connections->set_deadline(connection,
                                     connection->is_blocked ? services.rules->write_timeout_s
                                                            : services.rules->keep_alive_timeout_s);
}

}  // namespace megacomet
