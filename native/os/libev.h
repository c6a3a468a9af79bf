// The only file that includes libev, and the place of the rules for using it.
//
// Each rule was read in libev 4.33's ev_epoll.c or met in an experiment:
//  1. Every callback looks at `revents & EV_ERROR` first. When epoll_ctl fails (ENOSPC at
//     fs.epoll.max_user_watches, ENOMEM), libev stops the watcher and calls back with
//     EV_ERROR|EV_READ|EV_WRITE; a callback that just reads gets EAGAIN, and the peer hangs.
//  2. ev_io_stop, then close, always. Stopping also clears a pending event, so a number that the
//     kernel hands out again never sees an event of its last owner.
//  3. ev_io_init for each new connection: only that sets EV__IOFDSET, which forces an ADD. To
//  switch
//     between EV_READ and EV_WRITE use ev_io_modify: ev_io_set costs a failing ADD and a MOD.
//  4. libev never sends EPOLL_CTL_DEL on stop. A dropped interest costs one spurious wake-up.
//  5. A descriptor that lives on in another process stays in our epoll set after close().
//  6. ev_loop_new, never ev_default_loop, which takes SIGCHLD. EVFLAG_NOENV: the environment must
//     not choose a backend.
//  7. Pending events run last-in first-out within a priority; the priority is set while inactive.
//     The control stream has +1 and so do listeners; connections have 0.
//  8. EPERM from epoll_ctl makes libev treat a descriptor as always ready: never watch a memfd.
#pragma once

#include <memory>

#include <ev.h>

#if EV_VERSION_MAJOR < 4 || (EV_VERSION_MAJOR == 4 && EV_VERSION_MINOR < 32)
#error "megacomet-ts needs libev 4.32 or newer (ev_io_modify): apt-get install libev-dev"
#endif

namespace megacomet {

constexpr int kPriorityControl = 1;
constexpr int kPriorityListener = 1;

struct LoopDeleter {
  void operator()(struct ev_loop* loop) const { ev_loop_destroy(loop); }
};
using LoopOwner = std::unique_ptr<struct ev_loop, LoopDeleter>;

/// Null when epoll cannot be had (no descriptor left).
inline LoopOwner make_loop() {
  return LoopOwner(ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
}

}  // namespace megacomet
