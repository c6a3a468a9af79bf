// The parts of a worker and how they are connected. See worker.h.
#include "worker/worker.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/bounds.h"
#include "base/erase.h"
#include "connection/admission.h"
#include "connection/client_limits.h"
#include "connection/drain.h"
#include "connection/listener.h"
#include "connection/sweep.h"
#include "connection/transport.h"
#include "hub/hub.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "os/sys.h"
#include "schedule/loop_waker.h"
#include "schedule/slice_schedule.h"
#include "schedule/wakeup_coalescing.h"
#include "worker/dispatch.h"
#include "worker/loop_lag.h"
#include "worker/protocol_table.h"
#include "worker/startup.h"

namespace megacomet {

namespace {

constexpr int kBlockDescriptor = 4;
constexpr int kSharedDescriptor = 5;
constexpr int kFirstListenerDescriptor = 6;

class Worker final : ControlHandler, DrainHandler, MidIterationHandler, SliceSource {
 public:
  explicit Worker(struct ev_loop* loop);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  int run();

 private:
  static void on_prepare(struct ev_loop* loop, ev_prepare* watcher, int revents);
  static void on_check(struct ev_loop* loop, ev_check* watcher, int revents);
  static void on_heartbeat(struct ev_loop* loop, ev_timer* timer, int revents);
  static void on_interest(struct ev_loop* loop, ev_timer* timer, int revents);

  void on_frame(const FrameView& view) override;
  void on_control_end() override { leave(0); }
  void on_drained(uint32_t closed) override;
  void on_mid_iteration() override;
  [[nodiscard]] bool has_slices() const override { return hub_.is_pumping(); }
  [[nodiscard]] bool send_slice(uint64_t end_ns) override { return hub_.pump(end_ns); }

  // The commands of the manager.
  static const DispatchTable<Worker> kCommands;
  template <auto Method>
  static bool to_worker(Worker& worker, const FrameView& view);
  template <auto Method>
  static bool to_hub(Worker& worker, const FrameView& view);
  template <auto Method>
  static bool to_presence(Worker& worker, const FrameView& view);
  bool set_comet(frame::Comet rules);
  bool set_limits(const frame::Limits& limits);
  bool set_tls(frame::Tls command);
  bool set_ticket_keys(frame::TlsTickets command);
  bool recount(const frame::Recount& command);
  void configure(const frame::Configure& command);
  bool adjust(const frame::Adjust& command);
  void watch(const frame::Watch& command);
  void drain(const frame::Drain& command);
  void cut_off(const frame::CutOff& command);

  bool set_room(const frame::Room& room);
  void connect_parts(uint32_t slots);
  void make_listeners(const frame::Configure& command);
  void end_iteration();
  void leave(int code);
  void fail(const char* message);

  struct ev_loop* loop_;
  Control control_;
  SharedPage<Block> block_;
  SharedPage<WorkersMemory> shared_;
  Counters counters_;
  Admission admission_;
  ClientLimits limits_;
  Transport transport_;
  Hub hub_;
  SliceSchedule slices_;
  LoopWaker waker_;
  WakeupCoalescing coalescing_;
  Sweep sweep_;
  Drain drain_;
  /// Sends clients away while the server is cut off from its cluster.
  Drain departure_;
  LoopLag lag_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  ev_prepare prepare_;
  ev_check check_;
  ev_timer heartbeat_;
  ev_timer interest_;
  uint64_t descriptor_limit_ = 0;
  uint32_t connections_max_ = 0;
  bool is_configured_ = false;
  /// Whether connections of a listener begin with a PROXY header or a TLS handshake, which must
  /// arrive in time.
  bool has_deadlines_ = false;
  /// Seconds since the start, for deadlines.
  uint16_t now_ = 0;
  int exit_code_ = 0;
};

template <auto Method>
bool Worker::to_worker(Worker& worker, const FrameView& view) {
  return handle<Method>(worker, view);
}

template <auto Method>
bool Worker::to_hub(Worker& worker, const FrameView& view) {
  return worker.hub_.is_on() && handle<Method>(worker.hub_, view);
}

template <auto Method>
bool Worker::to_presence(Worker& worker, const FrameView& view) {
  return worker.hub_.is_on() && handle<Method>(worker.hub_.presence(), view);
}

constexpr DispatchTable<Worker> Worker::kCommands({
    {FrameType::kConfigure, to_worker<&Worker::configure>},
    {FrameType::kAdjust, to_worker<&Worker::adjust>},
    {FrameType::kRoom, to_worker<&Worker::set_room>},
    {FrameType::kWatch, to_worker<&Worker::watch>},
    {FrameType::kDrain, to_worker<&Worker::drain>},
    {FrameType::kCutOff, to_worker<&Worker::cut_off>},
    {FrameType::kComet, to_worker<&Worker::set_comet>},
    {FrameType::kLimits, to_worker<&Worker::set_limits>},
    {FrameType::kRecount, to_worker<&Worker::recount>},
    {FrameType::kTls, to_worker<&Worker::set_tls>},
    {FrameType::kTlsTickets, to_worker<&Worker::set_ticket_keys>},
    {FrameType::kAccess, to_hub<&Hub::on_access>},
    {FrameType::kNamespaces, to_hub<&Hub::on_namespaces>},
    {FrameType::kKeysChecked, to_hub<&Hub::on_keys_checked>},
    {FrameType::kHooks, to_hub<&Hub::on_hooks>},
    {FrameType::kHookAnswer, to_hub<&Hub::on_hook_answer>},
    {FrameType::kRevoke, to_hub<&Hub::on_revoke>},
    {FrameType::kDisconnectUser, to_hub<&Hub::on_disconnect_user>},
    {FrameType::kPublish, to_hub<&Hub::on_publish>},
    {FrameType::kLost, to_hub<&Hub::on_lost>},
    {FrameType::kReplayPage, to_hub<&Hub::on_page>},
    {FrameType::kKick, to_hub<&Hub::on_kick>},
    {FrameType::kDisconnect, to_hub<&Hub::on_disconnect>},
    {FrameType::kRejected, to_hub<&Hub::on_rejected>},
    {FrameType::kPublished, to_hub<&Hub::on_published>},
    {FrameType::kClientResponse, to_hub<&Hub::on_response>},
    {FrameType::kUserChannels, to_hub<&Hub::on_user_channels>},
    {FrameType::kMailboxLease, to_hub<&Hub::on_lease>},
    {FrameType::kPresenceEvents, to_presence<&Presence::observe>},
    {FrameType::kQuery, to_presence<&Presence::answer>},
    {FrameType::kInterestRequest, to_presence<&Presence::report_again>},
});

Worker::Worker(struct ev_loop* loop)
    : loop_(loop),
      control_(loop_, this),
      limits_(&control_, &counters_),
      transport_(loop_, &admission_, &counters_, kProtocols),
      hub_(&transport_, &control_, &counters_, &limits_),
      slices_(this, &counters_),
      waker_(loop_),
      sweep_(&transport_.connections(), &transport_.due_index(), &transport_),
      drain_(loop_, &transport_.connections(), &transport_, CloseCause::kDrain, this),
      departure_(loop_, &transport_.connections(), &transport_, CloseCause::kCutOff, nullptr) {
  ev_prepare_init(&prepare_, on_prepare);
  ev_check_init(&check_, on_check);
  ev_timer_init(
      &heartbeat_, on_heartbeat, bounds::kLoopHeartbeatSeconds, bounds::kLoopHeartbeatSeconds);
  ev_timer_init(&interest_, on_interest, bounds::kInterestSeconds, bounds::kInterestSeconds);
  prepare_.data = check_.data = heartbeat_.data = interest_.data = this;
  transport_.mid_iteration().set_handler(this);
}

Worker::~Worker() {
  listeners_.clear();
  ev_prepare_stop(loop_, &prepare_);
  ev_check_stop(loop_, &check_);
  ev_timer_stop(loop_, &heartbeat_);
  ev_timer_stop(loop_, &interest_);
}

int Worker::run() {
  descriptor_limit_ = sys::raise_descriptor_limit();
  if (!control_.start()) return 1;
  if (!block_.open(kBlockDescriptor) || block_->layout_hash != layout_hash()) return 1;
  if (!shared_.open(kSharedDescriptor)) return 1;
  ev_prepare_start(loop_, &prepare_);
  ev_check_start(loop_, &check_);
  lag_.begin_iteration(sys::monotonic_ns());
  ev_run(loop_, 0);
  control_.flush();
  return exit_code_;
}

void Worker::on_prepare(struct ev_loop*, ev_prepare* watcher, int) {
  auto* self = static_cast<Worker*>(watcher->data);
  if (self->is_configured_) self->end_iteration();
  self->control_.flush();
}

void Worker::end_iteration() {
  if (hub_.is_on()) {
    hub_.run_orders();
    const double wait_s = slices_.run();
    // Later frames wait until fan-out has room for them, and until the orders before them end.
    const bool has_more = control_.set_reading(!hub_.is_full()) || hub_.has_orders();
    waker_.wake_after(has_more ? 0. : wait_s);
  }
  // The heartbeat is written here and not by the timer alone: an iteration of 18,000 callbacks
  // takes 70 ms, and a loop that iterates is alive whether or not its timer was due.
  const uint64_t now_ns = sys::monotonic_ns();
  lag_.end_iteration(now_ns);
  ev_set_io_collect_interval(loop_, coalescing_.collect_s(now_ns));
  if (admission_.take_report()) {
    control_.send(frame::CapacityChange{admission_.connections()});
  }
}

void Worker::on_check(struct ev_loop*, ev_check* watcher, int) {
  auto* self = static_cast<Worker*>(watcher->data);
  const uint64_t now_ns = sys::monotonic_ns();
  self->lag_.begin_iteration(now_ns);
  self->transport_.mid_iteration().begin_iteration(now_ns);
  self->hub_.begin_iteration();
}

void Worker::on_mid_iteration() {
  for (const auto& listener : listeners_) listener->accept_next();
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

void Worker::on_interest(struct ev_loop*, ev_timer* timer, int) {
  static_cast<Worker*>(timer->data)->hub_.presence().report();
}

void Worker::on_frame(const FrameView& view) {
  if (!kCommands.dispatch(*this, view)) fail("invalid or unexpected frame from the manager");
  if (hub_.has_orders()) control_.set_reading(false);
}

bool Worker::set_comet(frame::Comet rules) {
  if (hub_.is_on()) return false;
  hub_.configure(std::move(rules));
  return true;
}

bool Worker::set_limits(const frame::Limits& limits) {
  if (is_configured_ || !limits_.configure(limits, shared_->limits)) return false;
  hub_.set_command_rate(limits.command_rate);
  if (!hub_.is_on()) transport_.input_budget().set_bytes_max(bounds::kProxyInputBytesMax);
  return true;
}

/// The manager has tried the certificates in its own OpenSSL, which is the same.
bool Worker::set_tls(frame::Tls command) {
  if (is_configured_ && !transport_.tls().is_on()) return false;
  // From now on a core dump would have private keys.
  sys::forbid_core_dumps();
  const std::string reason = transport_.tls().configure(command);
  for (std::string& key : command.keys) erase_bytes(key.data(), key.size());
  if (!reason.empty()) fail(reason.c_str());
  return true;
}

bool Worker::set_ticket_keys(frame::TlsTickets command) {
  const std::string reason = transport_.tls().set_ticket_keys(&command);
  if (!reason.empty()) fail(reason.c_str());
  return true;
}

bool Worker::recount(const frame::Recount& command) {
  if (!is_configured_) return false;
  limits_.recount(command.tables, &transport_.connections());
  hub_.recount_users();
  return true;
}

void Worker::configure(const frame::Configure& command) {
  // A manager that died before this call sends no SIGKILL any more.
  if (!sys::die_with_parent(command.parent)) return leave(0);
  const bool has_tls = startup::has_flag(command, listener_flag::kTls);
  const bool is_valid = startup::is_valid(command) && (!has_tls || transport_.tls().is_on());
  if (is_configured_ || !is_valid) {
    return fail("invalid Configure frame from the manager");
  }
  startup::restrict_process();
  const startup::Descriptors descriptors = startup::divide_descriptors(
      descriptor_limit_, sys::open_descriptors(), command.connections_max);
  if (!transport_.reserve(descriptors.capacity) || !hub_.reserve(descriptors.capacity)) {
    return fail("no address space for the connection records");
  }
  sys::prepare_descriptor_table(descriptors.capacity);
  connections_max_ = descriptors.connections;

  connect_parts(command.slots);
  is_configured_ = true;
  has_deadlines_ = has_tls || startup::has_flag(command, listener_flag::kProxyHeader);
  (void)adjust({connections_max_, command.idle_timeout_s, command.accept_rate_milli});
  make_listeners(command);
  ev_timer_start(loop_, &heartbeat_);
  if (hub_.is_on()) ev_timer_start(loop_, &interest_);
  control_.send(
      frame::Ready{MEGACOMET_VERSION, layout_hash(), descriptors.fixed, connections_max_});
}

void Worker::connect_parts(uint32_t slots) {
  counters_.attach(block_.get());
  lag_.attach(block_.get());
  admission_.attach(block_.get());
  admission_.restore_spare();
  const uint32_t cores = hub_.is_on() ? hub_.rules().slices_max : 0;
  slices_.set_oversubscribed(&shared_->leases, slots, cores);
  coalescing_.set_oversubscribed(slots, cores);
  hub_.set_workers(slots);
}

void Worker::make_listeners(const frame::Configure& command) {
  const auto protocol = static_cast<uint8_t>(find_protocol(command.protocol));
  for (size_t index = 0; index < command.listeners.size(); ++index) {
    const Listener::Parts parts{loop_,
                                &admission_,
                                &transport_,
                                &control_,
                                &counters_,
                                &slices_.accept_pressure(),
                                &limits_};
    listeners_.push_back(
        std::make_unique<Listener>(parts,
                                   kFirstListenerDescriptor + static_cast<int>(index),
                                   static_cast<Ownership>(command.listeners[index]),
                                   protocol,
                                   static_cast<uint8_t>(command.listener_flags[index])));
  }
}

bool Worker::adjust(const frame::Adjust& command) {
  if (!is_configured_) return false;
  admission_.set_limits(std::min(connections_max_, command.connections_max),
                        command.accept_rate_milli);
  transport_.set_idle_timeout(command.idle_timeout_s);
  sweep_.set_on(hub_.is_on() || command.idle_timeout_s > 0 || has_deadlines_);
  return true;
}

bool Worker::set_room(const frame::Room& room) {
  if (!is_configured_) return false;
  admission_.set_server_full(room.is_server_full != 0);
  return true;
}

void Worker::watch(const frame::Watch& command) {
  if (command.listener >= listeners_.size()) return fail("Watch frame names an unknown listener");
  listeners_[command.listener]->watch(command.on != 0);
}

void Worker::drain(const frame::Drain& command) {
  transport_.services().drain_ends_ns =
      sys::monotonic_ns() + uint64_t{command.drain_ms} * 1'000'000;
  for (const auto& listener : listeners_) listener->drain();
  admission_.close_door();
  departure_.stop();
  drain_.start(command.drain_ms);
}

void Worker::cut_off(const frame::CutOff& command) {
  // A drain closes the connections anyway, and has its own answers.
  if (admission_.is_door_closed()) return;
  const bool is_on = command.is_on != 0;
  transport_.services().is_cut_off = is_on;
  admission_.set_cut_off(is_on);
  if (is_on) {
    departure_.start(command.close_ms);
  } else {
    departure_.stop();
  }
}

void Worker::on_drained(uint32_t closed) {
  // Peers are rejected until the manager hangs up, which is when every worker has drained.
  control_.send(frame::Goodbye{closed});
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
