// The manager's half of a listening socket: bind, listen, steer, shut down.
// The manager keeps every listener for its own life, so a worker that dies loses no queued peer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace megacomet::listening {

struct Options {
  /// A numeric IPv4 or IPv6 address, or the path of a unix socket when `is_unix`.
  std::string host;
  uint16_t port = 0;
  bool is_unix = false;
  /// IPv6 only: do not take IPv4 peers too.
  bool v6_only = false;
  /// Not the first listener of its address: joins the group of the first.
  bool joins = false;
  /// Seconds of silence before keep-alive probes; 0 for none.
  uint32_t keepalive_s = 0;
  /// Milliseconds for which sent bytes may stay without an acknowledgement; 0 for the kernel's own
  /// rule, a quarter of an hour.
  uint32_t user_timeout_ms = 0;
};

struct Opened {
  int fd;
  /// errno, and the call that failed; 0 and "" on success.
  int error;
  const char* call;
};

/// Binds a socket with every option that accepted sockets inherit; it does not listen yet, so that
/// peers are refused and not hung until a worker is ready.
///
/// The first listener of an address is bound without SO_REUSEPORT and gets the option afterwards:
/// otherwise a second server of the same user could bind too, and would silently take half of the
/// clients.
Opened open(const Options& options);

/// What another program bound and let listen, for us to serve (systemd's socket activation).
struct Adopted {
  /// errno and the check that failed; 0 and "" on success. EPROTOTYPE: not a stream socket; EINVAL:
  /// it does not listen; EAFNOSUPPORT: neither IPv4, IPv6 nor unix.
  int error;
  const char* call;
  /// As `Options` has them; an abstract unix name starts with '@'.
  std::string host;
  uint16_t port;
  bool is_unix;
};

/// Checks an inherited socket and gives it the options of our own: non-blocking, since systemd
/// passes blocking ones and a worker that loses the race for a peer would hang in accept,
/// close-on-exec, and what accepted sockets inherit. Its backlog stays.
Adopted register_fd(int fd, uint32_t keepalive_s, uint32_t user_timeout_ms = 0);

/// 0 or errno. Called once per socket, and again to change the backlog.
int listen(int fd, uint32_t backlog);

void shut_down(int fd);

/// The port that the kernel chose, 0 for a unix socket.
uint16_t port(int fd);

/// Spreads new connections over a group of listeners by weight; index i is the i-th socket of the
/// group that listened. All weights 0 is refused with EINVAL.
///
/// A classic BPF program (SO_ATTACH_REUSEPORT_CBPF): a random number against cumulative
/// thresholds. 0 or errno.
int steer(int fd, const std::vector<uint32_t>& weights);

/// Returns to the kernel's own even hash. 0 or errno; a missing program is not an error.
int stop_steering(int fd);

}  // namespace megacomet::listening
