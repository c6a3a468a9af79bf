// Decodes the orders of a run and connects control stream and dialer. See dial_worker.h.
#include "dialer/dial_worker.h"

#include <string>

#include "dialer/dialer.h"
#include "ipc/control.h"
#include "ipc/load_frames.h"
#include "ipc/segment.h"
#include "os/sys.h"

namespace megacomet {

namespace {

class DialWorker final : ControlHandler {
 public:
  explicit DialWorker(struct ev_loop* loop)
      : loop_(loop), control_(loop, this), dialer_(loop, &control_) {
    ev_prepare_init(&prepare_, on_prepare);
    prepare_.data = this;
  }
  DialWorker(const DialWorker&) = delete;
  DialWorker& operator=(const DialWorker&) = delete;
  ~DialWorker() { ev_prepare_stop(loop_, &prepare_); }

  int run() {
    sys::raise_descriptor_limit();
    if (!control_.start()) return 1;
    // Runs after the dialer's pump, so that its frames leave in the same loop iteration.
    ev_set_priority(&prepare_, EV_MINPRI);
    ev_prepare_start(loop_, &prepare_);
    control_.send(frame::Ready{MEGACOMET_VERSION, layout_hash(), sys::open_descriptors(), 0});
    ev_run(loop_, 0);
    control_.flush();
    return exit_code_;
  }

 private:
  static void on_prepare(struct ev_loop*, ev_prepare* watcher, int) {
    static_cast<DialWorker*>(watcher->data)->control_.flush();
  }

  void on_frame(const FrameView& view) override {
    frame::Dial dial;
    frame::Verify verify;
    frame::Exchange exchange;
    frame::Subscribe subscribe;
    frame::Gather gather;
    frame::Reconnect reconnect;
    frame::DialTls tls;
    switch (static_cast<LoadFrameType>(view.type)) {
      case LoadFrameType::kDial:
        if (decode(view, &dial)) return begin(dial);
        break;
      case LoadFrameType::kVerify:
        if (decode(view, &verify)) return dialer_.verify(verify);
        break;
      case LoadFrameType::kExchange:
        if (decode(view, &exchange)) return dialer_.exchange(exchange);
        break;
      case LoadFrameType::kSubscribe:
        if (decode(view, &subscribe) && dialer_.subscribe(subscribe)) {
          return ev_set_io_collect_interval(loop_, subscribe.collect_ms / 1000.0);
        }
        break;
      case LoadFrameType::kGather:
        if (decode(view, &gather)) return dialer_.gather(gather);
        break;
      case LoadFrameType::kReconnect:
        if (decode(view, &reconnect) && dialer_.reconnect(reconnect)) return;
        break;
      case LoadFrameType::kDialTls:
        if (decode(view, &tls)) return secure(tls);
        break;
      default:
        break;
    }
    fail("invalid or unexpected frame from the manager");
  }

  void begin(const frame::Dial& order) {
    if (!sys::die_with_parent(order.parent)) return on_control_end();
    const char* problem = dialer_.dial(order, sys::open_descriptors());
    if (problem != nullptr) fail(problem);
  }

  void secure(const frame::DialTls& order) {
    const std::string problem = dialer_.secure(order);
    if (!problem.empty()) fail(("TLS: " + problem).c_str());
  }

  void on_control_end() override { ev_break(loop_, EVBREAK_ALL); }

  void fail(const char* message) {
    control_.log(LogLevel::kError, message);
    exit_code_ = 1;
    ev_break(loop_, EVBREAK_ALL);
  }

  struct ev_loop* loop_;
  Control control_;
  Dialer dialer_;
  ev_prepare prepare_;
  int exit_code_ = 0;
};

}  // namespace

int run_dialer() {
  sys::ignore_group_signals();
  const LoopOwner loop = make_loop();
  if (loop == nullptr) return 1;
  DialWorker worker(loop.get());
  return worker.run();
}

}  // namespace megacomet
