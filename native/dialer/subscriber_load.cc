// Requests, cursors and counts of subscribers. See subscriber_load.h.
#include "dialer/subscriber_load.h"

#include <cerrno>

#include "base/bounds.h"

namespace megacomet {

namespace {

using Action = SubscriberStep::Action;

/// A pong without a payload. The mask of zeros is valid: RFC 6455 5.3 only requires a mask.
const std::string kPong("\x8a\x80\0\0\0\0", 6);

}  // namespace

bool SubscriberLoad::reserve(uint32_t capacity, uint32_t subscribers) {
  numbers_.assign(subscribers, 0);
  return scans_.map(capacity);
}

void SubscriberLoad::open(int fd, uint32_t index) {
  scans_.occupy(fd)->subscriber = index;
}

void SubscriberLoad::close(int fd) {
  scans_.release(fd);
}

void SubscriberLoad::reconnect(uint64_t epoch) {
  epoch_ = epoch;
  is_reconnecting_ = true;
}

const std::string& SubscriberLoad::first_request(int fd) {
  const uint32_t at = index(fd);
  if (!resumes(at)) return request_.opening(at);
  return request_.after(at, {epoch_, numbers_[at]});
}

bool SubscriberLoad::is_open_after_request(int fd) {
  return is_poll() && resumes(index(fd));
}

SubscriberStep SubscriberLoad::next(int fd,
                                    CometInput* input,
                                    bool is_subscribing,
                                    uint64_t now_ns) {
  CometScan* scan = scans_.at(fd);
  switch (read_comet(request_.transport(), scan, input)) {
    case CometEvent::kNone:
      return {Action::kWait};
    case CometEvent::kHead:
      return on_head(*scan, is_subscribing);
    case CometEvent::kMessage:
      return on_message(*scan, is_subscribing, now_ns);
    case CometEvent::kSubscribed:
      return on_position(*scan, is_subscribing);
    case CometEvent::kGap:
      return on_gap(*scan, is_subscribing);
    case CometEvent::kAnswer:
      return on_answer(*scan, is_subscribing);
    case CometEvent::kPing:
      return {Action::kSend, false, 0, &kPong};
    case CometEvent::kClose:
      return {Action::kClose};
    case CometEvent::kBroken:
      break;
  }
  return {Action::kClose, false, EBADMSG};
}

SubscriberStep SubscriberLoad::on_head(const CometScan& scan, bool is_subscribing) {
  if (!request_.accepts(scan.status)) {
    return {Action::kClose, false, bounds::kHttpFailure + scan.status};
  }
  if (is_poll()) {
    // Without a cursor this is not an answer to a poll, but for example the page of a web server.
    if (scan.key == 0) return {Action::kClose, false, EBADMSG};
    epoch_ = scan.key;
    return {Action::kContinue};
  }
  return {Action::kContinue, is_subscribing && !request_.awaits_cursor()};
}

SubscriberStep SubscriberLoad::on_message(const CometScan& scan,
                                          bool is_subscribing,
                                          uint64_t now_ns) {
  ++messages_;
  delivery_times_.record(scan.key, now_ns);
  // A poll's position is in its head, and counts when the answer is complete.
  if (is_poll()) return {Action::kContinue};
  return on_position(scan, is_subscribing);
}

/// Also the position in the answer to a subscription: a subscriber that disconnects before its
/// first message resumes there.
SubscriberStep SubscriberLoad::on_position(const CometScan& scan, bool is_subscribing) {
  numbers_[scan.subscriber] = scan.number;
  return {Action::kContinue, is_subscribing};
}

/// A first poll without a cursor always reports a gap, because it names an unknown position.
SubscriberStep SubscriberLoad::on_gap(const CometScan& scan, bool is_subscribing) {
  if (!is_subscribing || request_.has_since() || resumes(scan.subscriber)) ++gaps_;
  return {Action::kContinue};
}

/// A server that answers each poll at once, without news, would receive requests without end.
SubscriberStep SubscriberLoad::on_answer(const CometScan& scan, bool is_subscribing) {
  const bool has_news = is_subscribing || scan.number != numbers_[scan.subscriber];
  numbers_[scan.subscriber] = scan.number;
  if (!has_news) return {Action::kRest};
  const std::string& text = request_.after(scan.subscriber, {epoch_, scan.number});
  return {Action::kSend, is_subscribing, 0, &text};
}

const std::string& SubscriberLoad::next_poll(int fd) {
  const uint32_t at = index(fd);
  return request_.after(at, {epoch_, numbers_[at]});
}

}  // namespace megacomet
