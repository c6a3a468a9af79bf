// The worker's parts and how they are connected. See worker.h.
#include "worker/worker.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "connection/admission.h"
#include "connection/drain.h"
#include "connection/listener.h"
#include "connection/sweep.h"
#include "connection/transport.h"
#include "hub/hub.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "os/sys.h"
#include "protocol/echo.h"
#include "protocol/http.h"
#include "protocol/mailbox.h"
#include "protocol/poll.h"
#include "protocol/sse.h"
#include "protocol/stream.h"
#include "protocol/websocket.h"
#include "schedule/accept_pressure.h"
#include "schedule/slice_limiter.h"
#include "schedule/wakeup_coalescing.h"
#include "worker/loop_lag.h"

namespace megacomet {

namespace {

constexpr int kSegmentDescriptor = 4;
constexpr int kFirstListenerDescriptor = 5;

/// oom_score_adj of a worker, of 1000: when memory runs out the kernel takes a worker, which is
/// replaced, before the manager, which stays at 0.
constexpr int kOomScore = 500;

/// Where a protocol is added: in the order of ProtocolId.
constexpr const Protocol* kProtocols[] = {&kEchoProtocol,
                                          &kHttpProtocol,
                                          &kSseProtocol,
                                          &kStreamProtocol,
                                          &kPollProtocol,
                                          &kWebSocketProtocol,
                                          &kWebSocketEchoProtocol,
                                          &kMailboxProtocol};

/// The protocol that a new connection begins with; -1 for none of that name. The others take over
/// from HTTP.
int find_protocol(const std::string& name) {
  for (const ProtocolId id : {ProtocolId::kEcho, ProtocolId::kHttp}) {
    const int index = static_cast<int>(id);
    if (name == kProtocols[index]->name) return index;
  }
  return -1;
}

/// The sweep of a comet server: every connection is looked at every two seconds.
constexpr uint32_t kCometSweepSeconds = 8;

/// How often a broadcast that is spread over a time goes on.
constexpr double kSpreadSeconds = 0.01;

bool are_ownerships(const std::vector<uint64_t>& listeners) {
  const auto is_known = [](uint64_t value) {
    return value <= static_cast<uint64_t>(Ownership::kInherited);
  };
  return listeners.size() <= bounds::kListenersMax &&
         std::all_of(listeners.begin(), listeners.end(), is_known);
}

class Worker final : ControlHandler, DrainHandler, MidIterationHandler {
 public:
  explicit Worker(struct ev_loop* loop)
      : loop_(loop),
        control_(loop_, this),
        transport_(loop_, &admission_, &counters_, kProtocols),
        hub_(&transport_, &control_, &counters_),
        sweep_(&transport_.connections(), &transport_),
        drain_(loop_, &transport_.connections(), &transport_, this) {
    ev_prepare_init(&prepare_, on_prepare);
    ev_check_init(&check_, on_check);
    ev_timer_init(
        &beat_, on_heartbeat, bounds::kLoopHeartbeatSeconds, bounds::kLoopHeartbeatSeconds);
    ev_timer_init(&spread_, on_spread, kSpreadSeconds, kSpreadSeconds);
    ev_timer_init(&interest_, on_interest, bounds::kInterestSeconds, bounds::kInterestSeconds);
    ev_idle_init(&idle_, on_idle);
    prepare_.data = check_.data = beat_.data = interest_.data = this;
    transport_.mid_iteration().set_handler(this);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  int run();

 private:
  static void on_prepare(struct ev_loop* loop, ev_prepare* watcher, int revents);
  static void on_check(struct ev_loop* loop, ev_check* watcher, int revents);
  static void on_heartbeat(struct ev_loop* loop, ev_timer* timer, int revents);
  static void on_interest(struct ev_loop* loop, ev_timer* timer, int revents);
  // Only keep the loop from sleeping: the work is done before it would.
  static void on_spread(struct ev_loop*, ev_timer*, int) {}
  static void on_idle(struct ev_loop*, ev_idle*, int) {}

  void on_frame(const FrameView& view) override;
  void on_control_end() override { leave(0); }
  void on_drained(uint32_t closed) override;
  void on_mid_iteration() override;

  void configure(const frame::Configure& order);
  void adjust(const frame::Adjust& order);
  void watch(const frame::Watch& order);
  void drain(const frame::Drain& order);
  void pump();
  void send_slice();
  void wait_for_slice(bool is_due, double seconds);
  bool on_comet_frame(const FrameView& view);
  void leave(int code);
  void fail(const char* message);

  struct ev_loop* loop_;
  Control control_;
  Segment segment_;
  Counters counters_;
  Admission admission_;
  Transport transport_;
  Hub hub_;
  SliceLimiter gate_;
  WakeupCoalescing pace_;
  AcceptPressure accept_pressure_;
  Sweep sweep_;
  Drain drain_;
  LoopLag lag_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  ev_prepare prepare_;
  ev_check check_;
  ev_timer beat_;
  ev_timer spread_;
  ev_timer interest_;
  ev_idle idle_;
  uint64_t descriptor_limit_ = 0;
  uint32_t usable_ = 0;
  bool is_configured_ = false;
  uint16_t now_ = 0;
  int exit_code_ = 0;
};

Worker::~Worker() {
  listeners_.clear();
  ev_prepare_stop(loop_, &prepare_);
  ev_check_stop(loop_, &check_);
  ev_timer_stop(loop_, &beat_);
  ev_timer_stop(loop_, &spread_);
  ev_timer_stop(loop_, &interest_);
  ev_idle_stop(loop_, &idle_);
}

int Worker::run() {
  descriptor_limit_ = sys::raise_descriptor_limit();
  if (!control_.start()) return 1;
  if (!segment_.open(kSegmentDescriptor)) return 1;
  ev_prepare_start(loop_, &prepare_);
  ev_check_start(loop_, &check_);
  lag_.begin_iteration(sys::monotonic_ns());
  ev_run(loop_, 0);
  control_.flush();
  return exit_code_;
}

void Worker::on_prepare(struct ev_loop*, ev_prepare* watcher, int) {
  auto* self = static_cast<Worker*>(watcher->data);
  if (self->is_configured_) {
    if (self->hub_.is_on()) self->pump();
    // Written here and not by the timer alone: a turn of 18,000 callbacks takes 70 ms, and a loop
    // that turns is alive whether or not its timer was due.
    const uint64_t now_ns = sys::monotonic_ns();
    self->lag_.end_turn(now_ns);
    ev_set_io_collect_interval(self->loop_, self->pace_.collect_s(now_ns));
    if (self->admission_.take_near_capacity()) {
      self->control_.send(frame::NearCapacity{self->admission_.connections()});
    }
  }
  self->control_.flush();
}

/// A slice of what is on its way. In ev_prepare, because an idle watcher's own callback waits until
/// nothing else is pending, which under steady input is never.
void Worker::pump() {
  if (!hub_.is_pumping()) {
    ev_idle_stop(loop_, &idle_);
    ev_timer_stop(loop_, &spread_);
    return control_.set_reading(true);
  }
  const double yield_s = accept_pressure_.yield_s(sys::monotonic_ns());
  if (yield_s > 0.) {
    wait_for_slice(false, yield_s);
  } else if (gate_.enter()) {
    send_slice();
  } else {
    wait_for_slice(false, gate_.wait_s());
  }
  control_.set_reading(!hub_.is_full());
}

void Worker::send_slice() {
  const bool is_due = hub_.pump();
  gate_.leave();
  const uint64_t now_ns = sys::monotonic_ns();
  accept_pressure_.end_slice(now_ns);
  const double yield_s = is_due ? accept_pressure_.yield_s(now_ns) : 0.;
  if (yield_s > 0.) counters_.add(Counter::kFanoutSlicesDelayedTotal);
  wait_for_slice(is_due && yield_s == 0., yield_s > 0. ? yield_s : kSpreadSeconds);
}

/// Keeps the loop from sleeping past the next slice: not at all if that is due, else for a time.
void Worker::wait_for_slice(bool is_due, double seconds) {
  if (is_due) {
    ev_idle_start(loop_, &idle_);
  } else {
    ev_idle_stop(loop_, &idle_);
  }
  const bool is_spread = !is_due && hub_.is_pumping();
  if (!is_spread) return ev_timer_stop(loop_, &spread_);
  if (ev_is_active(&spread_) && spread_.repeat == seconds) return;
  spread_.repeat = seconds;
  ev_timer_again(loop_, &spread_);
}

void Worker::on_interest(struct ev_loop*, ev_timer* timer, int) {
  static_cast<Worker*>(timer->data)->hub_.presence().tell_counts();
}

void Worker::on_check(struct ev_loop*, ev_check* watcher, int) {
  auto* self = static_cast<Worker*>(watcher->data);
  const uint64_t now_ns = sys::monotonic_ns();
  self->lag_.begin_iteration(now_ns);
  self->transport_.mid_iteration().begin_iteration(now_ns);
  self->hub_.begin_iteration();
}

void Worker::on_mid_iteration() {
  for (const auto& listener : listeners_) listener->look();
}

void Worker::on_heartbeat(struct ev_loop*, ev_timer* timer, int) {
  auto* self = static_cast<Worker*>(timer->data);
  ++self->now_;
  self->transport_.tick(self->now_);
  self->sweep_.tick(self->now_);
  self->admission_.restore_spare();
  self->lag_.tick();
  if (self->hub_.is_on()) self->hub_.tick(self->now_);
}

void Worker::on_frame(const FrameView& view) {
  frame::Configure configure_order;
  frame::Adjust adjust_order;
  frame::Watch watch_order;
  frame::Drain drain_order;
  switch (static_cast<FrameType>(view.type)) {
    case FrameType::kConfigure:
      if (decode(view, &configure_order)) return configure(configure_order);
      break;
    case FrameType::kAdjust:
      if (is_configured_ && decode(view, &adjust_order)) return adjust(adjust_order);
      break;
    case FrameType::kWatch:
      if (decode(view, &watch_order)) return watch(watch_order);
      break;
    case FrameType::kDrain:
      if (decode(view, &drain_order)) return drain(drain_order);
      break;
    default:
      if (on_comet_frame(view)) return;
      break;
  }
  fail("order not understood");
}

bool Worker::on_comet_frame(const FrameView& view) {
  frame::Comet rules;
  frame::Publish publish;
  frame::ReplayPage page;
  frame::Kick kick;
  frame::MailboxLease give;
  frame::PresenceEvents observe;
  frame::Query query;
  frame::Disconnect dismiss;
  frame::Rejected refused;
  switch (static_cast<FrameType>(view.type)) {
    case FrameType::kComet:
      if (hub_.is_on() || !decode(view, &rules)) return false;
      hub_.configure(std::move(rules));
      return true;
    case FrameType::kPublish:
      if (!hub_.is_on() || !decode(view, &publish)) return false;
      hub_.on_publish(std::move(publish));
      return true;
    case FrameType::kReplayPage:
      return hub_.is_on() && decode(view, &page) && hub_.on_page(page);
    case FrameType::kKick:
      if (!hub_.is_on() || !decode(view, &kick)) return false;
      hub_.on_kick(kick);
      return true;
    case FrameType::kMailboxLease:
      if (!hub_.is_on() || !decode(view, &give)) return false;
      hub_.on_lease(std::move(give));
      return true;
    case FrameType::kPresenceEvents:
      if (!hub_.is_on() || !decode(view, &observe)) return false;
      hub_.presence().observe(observe.on != 0);
      return true;
    case FrameType::kQuery:
      if (!hub_.is_on() || !decode(view, &query)) return false;
      hub_.presence().answer(query);
      return true;
    case FrameType::kDisconnect:
      if (!hub_.is_on() || !decode(view, &dismiss)) return false;
      hub_.on_disconnect(dismiss);
      return true;
    case FrameType::kRejected:
      if (!hub_.is_on() || !decode(view, &refused)) return false;
      hub_.on_rejected(refused);
      return true;
    default:
      return false;
  }
}

void Worker::configure(const frame::Configure& order) {
  // A manager that died before the request sends no signal any more.
  if (!sys::die_with_parent(order.parent)) return leave(0);
  const int protocol = find_protocol(order.protocol);
  const bool is_valid = !is_configured_ && protocol >= 0 && order.slot < segment_.slots() &&
                        are_ownerships(order.listeners);
  if (!is_valid) return fail("configuration not understood");
  sys::forbid_new_privileges();
  // A worker binds nothing and opens nothing, so what the manager may do it need not. Root keeps
  // what makes it root, such as the exemption from fs.file-max.
  if (!sys::is_root()) sys::drop_capabilities();
  // Of a worker and the manager the kernel shall take the worker, which is replaced.
  sys::raise_oom_score(kOomScore);
  // Counted, not guessed: Node's own descriptors differ between its versions.
  const uint32_t descriptors = sys::open_descriptors() + 1;
  const uint64_t taken = descriptors + bounds::kDescriptorReserve;
  const uint64_t usable = descriptor_limit_ > taken ? descriptor_limit_ - taken : 0;
  usable_ = static_cast<uint32_t>(std::min<uint64_t>(usable, order.connections_max));
  const auto capacity = static_cast<uint32_t>(usable_ + taken);
  if (!transport_.reserve(capacity)) return fail("no address space for the connection records");
  sys::prepare_descriptor_table(capacity);

  counters_.attach(&segment_.block(order.slot));
  lag_.attach(&segment_.block(order.slot));
  admission_.attach(&segment_, order.slot);
  gate_.attach(&segment_);
  const uint32_t cores = hub_.is_on() ? hub_.rules().slices_max : 0;
  gate_.set_oversubscribed(segment_.slots(), cores);
  pace_.set_oversubscribed(segment_.slots(), cores);
  accept_pressure_.set_oversubscribed(segment_.slots(), cores);
  admission_.restore_spare();
  adjust({usable_, order.server_connections_max, order.idle_timeout_s, order.accept_rate_milli});
  int fd = kFirstListenerDescriptor;
  for (const uint64_t ownership : order.listeners) {
    listeners_.push_back(std::make_unique<Listener>(
        Listener::Parts{loop_, &admission_, &transport_, &control_, &counters_, &accept_pressure_},
        fd++,
        static_cast<Ownership>(ownership),
        static_cast<uint8_t>(protocol)));
  }
  is_configured_ = true;
  ev_timer_start(loop_, &beat_);
  if (hub_.is_on()) ev_timer_start(loop_, &interest_);
  control_.send(frame::Ready{MEGACOMET_VERSION, layout_hash(), descriptors, usable_});
}

void Worker::adjust(const frame::Adjust& order) {
  admission_.set_limits(std::min(usable_, order.connections_max),
                        order.server_connections_max,
                        order.accept_rate_milli);
  transport_.set_idle_timeout(order.idle_timeout_s);
  sweep_.set_timeout(hub_.is_on() ? kCometSweepSeconds : order.idle_timeout_s);
}

void Worker::watch(const frame::Watch& order) {
  if (order.listener >= listeners_.size()) return fail("no such listener");
  listeners_[order.listener]->watch(order.on != 0);
}

void Worker::drain(const frame::Drain& order) {
  for (const auto& listener : listeners_) listener->drain();
  drain_.start(order.drain_ms);
}

void Worker::on_drained(uint32_t closed) {
  control_.send(frame::Goodbye{closed});
  leave(0);
}

void Worker::leave(int code) {
  exit_code_ = code;
  ev_break(loop_, EVBREAK_ALL);
}

void Worker::fail(const char* message) {
  control_.log(LogLevel::kError, message);
  leave(1);
}

}  // namespace

int run_worker() {
  sys::ignore_group_signals();
  const LoopOwner loop = make_loop();
  if (loop == nullptr) return 1;
  // On the heap: the read buffer alone is 64 KiB.
  const auto worker = std::make_unique<Worker>(loop.get());
  return worker->run();
}

}  // namespace megacomet
