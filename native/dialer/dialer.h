// The outbound half, for load: many connections over many source addresses, paced, then asked for
// bytes. The engine of `megacomet-ts bench`; a scripted client would measure itself.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/bounds.h"
#include "base/histogram.h"
#include "base/token_bucket.h"
#include "dialer/comet_reader.h"
#include "dialer/delivery_times.h"
#include "dialer/dial_request.h"
#include "ipc/control.h"
#include "os/address.h"
#include "os/libev.h"
#include "os/slab.h"

namespace megacomet {

enum class DialState : uint8_t {
  kFree,
  kConnecting,
  /// Connected, and has asked for its channel.
  kSubscribing,
  /// Connected; nothing is asked of it, and messages may come.
  kIdle,
  /// Sent bytes and waits until as many have come back.
  kAsking,
};

/// One cache line, as in the server.
struct Dialed {
  ev_io watcher;
  /// When it was started or asked, in microseconds of the dialer's own time (wraps after 71 min).
  uint32_t since_us;
  /// Bytes; of a subscriber, as the how many-th connection it was started.
  uint32_t sent;
  uint32_t received;
  DialState state;
};
static_assert(sizeof(Dialed) == 64, "a dialed connection is one cache line");

/// Numbers of the phases in Progress frames; 0 is none.
enum class DialPhase : uint8_t { kNone, kOpen, kVerify, kExchange, kGather };

class Dialer {
 public:
  Dialer(struct ev_loop* loop, Control* control);
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;
  ~Dialer();

  /// Connections that are opened from now on subscribe. False if that cannot be.
  [[nodiscard]] bool subscribe(const frame::Subscribe& order) { return request_.set(order); }
  /// Begins to open. A message if an address cannot be read or memory is refused, else null.
  const char* dial(const frame::Dial& order, uint32_t descriptors_taken);
  /// Asks every open connection for one byte.
  void verify(const frame::Verify& order);
  /// Keeps some connections busy.
  void exchange(const frame::Exchange& order);
  /// Cuts off all subscribers, and opens them again with their cursors. False if that cannot be.
  [[nodiscard]] bool reconnect(const frame::Reconnect& order);
  /// Reports when the latest messages arrived.
  void gather(const frame::Gather& order);

 private:
  static bool parse_addresses(const Texts& texts, std::vector<Address>* out);
  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  void dispatch(Dialed* dialed, int revents);
  static void on_pump(struct ev_loop* loop, ev_prepare* watcher, int revents);
  static void on_idle(struct ev_loop*, ev_idle*, int) {}
  static void on_progress(struct ev_loop* loop, ev_timer* timer, int revents);
  static void on_wake(struct ev_loop*, ev_timer*, int) {}

  /// Drops what the last phase left unanswered: the bytes of its messages would be taken for
  /// those of the next.
  void abandon();
  void begin(DialPhase phase);
  void finish();
  void report(bool is_finished);
  void pump();
  void pump_open();
  void pump_between_events();
  void pump_verify();
  [[nodiscard]] bool has_more() const { return started_ < wanted_ || !again_.empty(); }
  [[nodiscard]] bool has_cursor(const Dialed& dialed) const {
    return is_reconnecting_ && numbers_[dialed.sent] != 0;
  }
  void open_next();
  void open_one(uint32_t index);
  void connected(Dialed* dialed);
  bool asks_at_once(Dialed* dialed);
  void asked(Dialed* dialed);
  const std::string& first_request(const Dialed& dialed);
  void failed(uint32_t index, int error);
  [[nodiscard]] bool comes_back(const Dialed& dialed) const;
  void drop(Dialed* dialed, int error);
  void ask(Dialed* dialed);
  void write(Dialed* dialed);
  void read(Dialed* dialed);
  void answered(Dialed* dialed);
  void opened(Dialed* dialed);
  /// These answer false when they dropped the connection.
  bool request(Dialed* dialed, const std::string& text);
  bool read_comet_bytes(Dialed* dialed, const uint8_t* bytes, size_t size);
  bool take(Dialed* dialed, CometEvent event, uint64_t now_ns);
  bool take_head(Dialed* dialed);
  bool take_answer(Dialed* dialed);
  [[nodiscard]] static bool is_waiting(const Dialed& dialed);
  void expire(uint64_t now_ns);
  void watch(Dialed* dialed, int events);
  [[nodiscard]] uint32_t now_us() const;
  [[nodiscard]] uint8_t expected_byte(const Dialed* dialed, uint32_t offset) const;

  struct ev_loop* loop_;
  Control* control_;
  Slab<Dialed> connections_;
  /// Of the same descriptors, where connections subscribe.
  Slab<CometScan> scans_;
  DialRequest request_;
  DeliveryTimes delivery_times_;
  /// Of all cursors: they are of one server.
  uint64_t epoch_ = 0;
  /// The message that each subscriber had last, or 0; by the order in which they were started.
  std::vector<uint64_t> numbers_;
  /// Subscribers that are to try again, and those that will after a moment.
  std::vector<uint32_t> again_;
  std::vector<uint32_t> rejected_;
  bool is_reconnecting_ = false;
  std::vector<Address> targets_;
  std::vector<Address> sources_;
  TokenBucket tokens_;
  Histogram latency_;
  std::map<int, uint64_t> failures_;
  std::vector<uint8_t> message_;
  std::vector<uint8_t> buffer_;

  DialPhase phase_ = DialPhase::kNone;
  uint32_t events_ = 0;
  uint64_t expire_after_ns_ = 0;
  uint64_t phase_began_ns_ = 0;
  uint64_t phase_ends_ns_ = 0;
  uint32_t wanted_ = 0;
  uint32_t started_ = 0;
  uint32_t in_flight_ = 0;
  uint32_t opened_ = 0;
  uint32_t failed_ = 0;
  uint32_t lost_ = 0;
  uint32_t lost_reported_ = 0;
  uint32_t position_ = 0;
  uint32_t connect_timeout_us_ = 0;
  uint64_t answered_ = 0;
  uint64_t wrong_ = 0;
  uint64_t messages_ = 0;
  uint64_t received_ = 0;
  uint64_t received_reported_ = 0;
  uint64_t gaps_ = 0;

  ev_prepare pump_;
  ev_idle idle_;
  ev_timer progress_;
  ev_timer wake_;
};

}  // namespace megacomet
