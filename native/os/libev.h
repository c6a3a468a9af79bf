// The only file that includes libev, with the rules for its use.
//
// Each rule comes from ev_epoll.c of libev 4.33 or from an experiment:
//  1. Every callback checks `revents & EV_ERROR` first. When epoll_ctl fails (ENOSPC at
//     fs.epoll.max_user_watches, ENOMEM), libev stops the watcher and calls back with
//     EV_ERROR|EV_READ|EV_WRITE. A callback that only reads gets EAGAIN, and the peer hangs.
//  2. ev_io_stop, then close, always. Stopping also clears a pending event, so a reused descriptor
//     number never gets an event of its previous connection.
//  3. ev_io_init for each new connection: only that sets EV__IOFDSET, which forces an ADD. To
//     change between EV_READ and EV_WRITE use ev_io_modify: ev_io_set costs a failing ADD and a
//     MOD.
//  4. libev never calls EPOLL_CTL_DEL on stop. The next event of that descriptor costs one spurious
//     wake-up.
//  5. A descriptor that is open in another process too stays in our epoll set after close().
//  6. ev_loop_new, never ev_default_loop, which handles SIGCHLD. EVFLAG_NOENV, so that the
//     environment cannot choose a backend.
//  7. Pending events of one priority run last-in first-out. Set a priority while the watcher is
//     inactive. The control stream and listeners have +1; connections have 0.
//  8. After EPERM from epoll_ctl libev treats a descriptor as always ready: never watch a memfd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

// libev lets its user declare the members between the priority and the callback (EV_COMMON in
// ev.h). `word` fills the four bytes before the pointer that the compiler would leave unused, so
// that the layout is still that of the library.
#define EV_COMMON \
  uint32_t word;  \
  void* data;

#include <ev.h>

#if EV_VERSION_MAJOR < 4 || (EV_VERSION_MAJOR == 4 && EV_VERSION_MINOR < 32)
#error "megacomet-ts needs libev 4.32 or newer (ev_io_modify): apt-get install libev-dev"
#endif

namespace megacomet {

/// A watcher as the library was compiled.
struct PlainWatcher {
  int active;
  int pending;
  int priority;
  void* data;
};
static_assert(offsetof(ev_io, data) == offsetof(PlainWatcher, data) &&
                  offsetof(ev_io, word) == sizeof(int) * 3,
              "the layout of libev");

constexpr int kPriorityControl = 1;
constexpr int kPriorityListener = 1;

struct LoopDeleter {
  void operator()(struct ev_loop* loop) const { ev_loop_destroy(loop); }
};
using LoopOwner = std::unique_ptr<struct ev_loop, LoopDeleter>;

/// Null if no descriptor is left for epoll.
inline LoopOwner make_loop() {
  return LoopOwner(ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV));
}

}  // namespace megacomet
