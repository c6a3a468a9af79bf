// The worker's parts and how they are connected. See worker.h.
#include "worker.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "admission.h"
#include "bounds.h"
#include "control.h"
#include "drain.h"
#include "lag.h"
#include "listener.h"
#include "protocol_echo.h"
#include "segment.h"
#include "sweep.h"
#include "sys.h"
#include "transport.h"

namespace megacomet {

namespace {

constexpr int kSegmentDescriptor = 4;
constexpr int kFirstListenerDescriptor = 5;

/// Where a protocol is added.
constexpr const Protocol* kProtocols[] = {&kEchoProtocol};

int find_protocol(const std::string& name) {
  int index = 0;
  for (const Protocol* protocol : kProtocols) {
    if (name == protocol->name) return index;
    ++index;
  }
  return -1;
}

class Worker final : ControlHandler, DrainHandler {
 public:
  explicit Worker(struct ev_loop* loop)
      : loop_(loop),
        control_(loop_, this),
        transport_(loop_, &admission_, &counters_, kProtocols),
        sweep_(&transport_.connections(), &transport_),
        drain_(loop_, &transport_.connections(), &transport_, this) {
    ev_prepare_init(&prepare_, on_prepare);
    ev_check_init(&check_, on_check);
    ev_timer_init(&beat_, on_beat, bounds::kBeatSeconds, bounds::kBeatSeconds);
    prepare_.data = check_.data = beat_.data = this;
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  int run();

 private:
  static void on_prepare(struct ev_loop* loop, ev_prepare* watcher, int revents);
  static void on_check(struct ev_loop* loop, ev_check* watcher, int revents);
  static void on_beat(struct ev_loop* loop, ev_timer* timer, int revents);

  void on_frame(const FrameView& view) override;
  void on_control_end() override { leave(0); }
  void on_drained(uint32_t closed) override;

  void configure(const frame::Configure& order);
  void adjust(const frame::Adjust& order);
  void watch(const frame::Watch& order);
  void drain(const frame::Drain& order);
  void leave(int code);
  void fail(const char* message);

  struct ev_loop* loop_;
  Control control_;
  Segment segment_;
  Counters counters_;
  Admission admission_;
  Transport transport_;
  Sweep sweep_;
  Drain drain_;
  Lag lag_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  ev_prepare prepare_;
  ev_check check_;
  ev_timer beat_;
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
}

int Worker::run() {
  descriptor_limit_ = sys::raise_descriptor_limit();
  if (!control_.start()) return 1;
  if (!segment_.open(kSegmentDescriptor)) return 1;
  ev_prepare_start(loop_, &prepare_);
  ev_check_start(loop_, &check_);
  lag_.begin_turn(sys::monotonic_ns());
  ev_run(loop_, 0);
  control_.flush();
  return exit_code_;
}

void Worker::on_prepare(struct ev_loop*, ev_prepare* watcher, int) {
  auto* self = static_cast<Worker*>(watcher->data);
  if (self->is_configured_) {
    // Written here and not by the timer alone: a turn of 18,000 callbacks takes 70 ms, and a loop
    // that turns is alive whether or not its timer was due.
    self->lag_.end_turn(sys::monotonic_ns());
    if (self->admission_.take_crowded()) {
      self->control_.send(frame::Crowded{self->admission_.connections()});
    }
  }
  self->control_.flush();
}

void Worker::on_check(struct ev_loop*, ev_check* watcher, int) {
  static_cast<Worker*>(watcher->data)->lag_.begin_turn(sys::monotonic_ns());
}

void Worker::on_beat(struct ev_loop*, ev_timer* timer, int) {
  auto* self = static_cast<Worker*>(timer->data);
  ++self->now_;
  self->transport_.tick(self->now_);
  self->sweep_.tick(self->now_);
  self->admission_.restore_spare();
  self->lag_.tick();
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
      break;
  }
  fail("order not understood");
}

void Worker::configure(const frame::Configure& order) {
  // A manager that died before the request sends no signal any more.
  if (!sys::die_with_parent(order.parent)) return leave(0);
  const int protocol = find_protocol(order.protocol);
  const bool is_valid = !is_configured_ && protocol >= 0 && order.slot < segment_.slots() &&
                        order.listeners.size() <= bounds::kListenersMax;
  if (!is_valid) return fail("configuration not understood");
  sys::forbid_new_privileges();
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
  admission_.restore_spare();
  adjust({usable_, order.server_connections_max, order.idle_timeout_s, order.accept_rate_milli});
  int fd = kFirstListenerDescriptor;
  for (const uint64_t is_shared : order.listeners) {
    listeners_.push_back(std::make_unique<Listener>(
        Listener::Parts{loop_, &admission_, &transport_, &control_, &counters_},
        fd++,
        is_shared != 0,
        static_cast<uint8_t>(protocol)));
  }
  is_configured_ = true;
  ev_timer_start(loop_, &beat_);
  control_.send(frame::Ready{MEGACOMET_VERSION, layout_hash(), descriptors, usable_});
}

void Worker::adjust(const frame::Adjust& order) {
  admission_.set_limits(std::min(usable_, order.connections_max),
                        order.server_connections_max,
                        order.accept_rate_milli);
  transport_.set_idle_timeout(order.idle_timeout_s);
  sweep_.set_timeout(order.idle_timeout_s);
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
