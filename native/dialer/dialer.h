// The engine of `megacomet-ts bench`: opens many connections from many source addresses at a given
// rate and loads them. In C++, because a load generator in JavaScript would measure itself.
//
// This file has the sockets and the watchers. The decisions are in dial_pool.h (which connection
// opens next), echo_load.h, subscriber_load.h, and dial_report.h (the counts).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "dialer/dial_pool.h"
#include "dialer/dial_report.h"
#include "dialer/dialed.h"
#include "dialer/dialed_tls.h"
#include "dialer/echo_load.h"
#include "dialer/subscriber_load.h"
#include "ipc/control.h"
#include "os/libev.h"
#include "os/slab.h"

namespace megacomet {

class Dialer {
 public:
  Dialer(struct ev_loop* loop, Control* control);
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;
  ~Dialer();

  /// Connections that are opened later subscribe. False if the order is not valid.
  [[nodiscard]] bool subscribe(const frame::Subscribe& order) {
    return subscribers_.configure(order);
  }
  /// Connections that are opened later begin with a TLS handshake. Returns "" or the reason why
  /// they cannot.
  [[nodiscard]] std::string secure(const frame::DialTls& order) { return tls_.configure(order); }
  /// Starts to open connections. Returns an error message, or null.
  const char* dial(const frame::Dial& order, uint32_t descriptors_taken);
  /// Sends one byte over every open connection and waits for its echo.
  void verify(const frame::Verify& order);
  /// Runs the echo load over some connections.
  void exchange(const frame::Exchange& order);
  /// Resets all subscribers and opens them again with their cursors. False while a phase runs, and
  /// for connections that do not subscribe.
  [[nodiscard]] bool reconnect(const frame::Reconnect& order);
  /// Reports the delivery times of the latest messages.
  void gather(const frame::Gather& order);

 private:
  static void on_event(struct ev_loop* loop, ev_io* watcher, int revents);
  static void on_pump(struct ev_loop* loop, ev_prepare* watcher, int revents);
  static void on_idle(struct ev_loop*, ev_idle*, int) {}
  static void on_progress(struct ev_loop* loop, ev_timer* timer, int revents);
  static void on_wake(struct ev_loop*, ev_timer*, int) {}

  // ---- Phases

  void begin(DialPhase phase);
  void finish();
  void report(bool is_finished);
  void pump();
  void pump_open();
  void pump_between_events();
  void pump_verify();
  void abandon();
  void expire(uint64_t now_ns);
  void end_exchange();
  void resume_polls();

  // ---- One connection

  void open(uint32_t index, uint64_t due_ns);
  void on_connected(Dialed* dialed);
  void on_step(Dialed* dialed, DialedTls::Step step);
  void on_secured(Dialed* dialed);
  bool try_first_request(Dialed* dialed);
  void on_first_request(Dialed* dialed);
  void on_open(Dialed* dialed);
  void dispatch(Dialed* dialed, int revents);
  void read(Dialed* dialed);
  void read_sealed(Dialed* dialed, uint8_t* bytes, size_t size);
  void take_bytes(Dialed* dialed, const uint8_t* bytes, size_t size);
  void read_echo(Dialed* dialed, const uint8_t* bytes, size_t size);
  void read_subscriber(Dialed* dialed, const uint8_t* bytes, size_t size);
  void begin_first_message(Dialed* dialed);
  void begin_message(Dialed* dialed);
  void write_message(Dialed* dialed);
  bool send_request(Dialed* dialed, const std::string& text);
  [[nodiscard]] sys::IoResult send(const Dialed& dialed, std::string_view bytes);
  /// Whether sealed bytes must still be sent.
  [[nodiscard]] bool is_blocked(const Dialed& dialed) const {
    return dialed.is_sealed && tls_.is_blocked(dialed.watcher.fd);
  }
  [[nodiscard]] int cause_of(const TlsFailure& failure);
  void close(Dialed* dialed, int cause);
  [[nodiscard]] bool reopens(const Dialed& dialed) const;
  [[nodiscard]] uint32_t index_of(const Dialed& dialed);
  void watch(Dialed* dialed, int events);

  struct ev_loop* loop_;
  Control* control_;
  Slab<Dialed> connections_;
  DialPool pool_;
  EchoLoad echo_;
  SubscriberLoad subscribers_;
  DialedTls tls_;
  DialReport report_;
  std::vector<uint8_t> buffer_;

  /// Time limit of a connect with its handshake, of the answer to a subscription, and of a verified
  /// echo.
  uint32_t timeout_us_ = 0;
  uint64_t expire_after_ns_ = 0;
  /// The next descriptor to verify.
  uint32_t position_ = 0;
  /// When the last first message of an exchange was sent.
  uint32_t exchange_began_us_ = 0;
  /// Descriptors of polls that rest; some may be closed by now.
  std::vector<int> resting_;
  /// Events of connections, to open connections between them.
  uint32_t events_ = 0;

  ev_prepare pump_;
  ev_idle idle_;
  ev_timer progress_;
  ev_timer wake_;
};

}  // namespace megacomet
