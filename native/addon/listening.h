// The manager's half of a listening socket: bind, listen, steer, shut down.
// The manager keeps every listener open until it exits, so a worker that dies loses no queued peer.
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
  /// Of the file of a unix socket: permissions, owner and group; -1 keeps what bind() makes.
  int mode = -1;
  int64_t uid = -1;
  int64_t gid = -1;
  /// For an IPv6 address: reject IPv4 peers.
  bool v6_only = false;
  /// Joins the SO_REUSEPORT group of the address, which has a listener already.
  bool joins = false;
  /// Peers that the first listener of an address may queue.
  uint32_t backlog = 0;
  /// Seconds of silence before keep-alive probes; 0 for none.
  uint32_t keepalive_s = 0;
  /// Milliseconds that sent bytes may stay unacknowledged; 0 for the kernel's default, about 15
  /// minutes.
  uint32_t user_timeout_ms = 0;
};

struct Opened {
  int fd;
  /// errno, and the call that failed; 0 and "" on success.
  int error;
  const char* call;
};

/// Binds a socket with every option that accepted sockets inherit.
///
/// The first listener of an address claims it: it is bound and listens without SO_REUSEPORT, and
/// gets the option afterwards. Otherwise a second server of the same user could bind too, and would
/// silently take half of the clients. A bind alone is not a claim: with SO_REUSEADDR two sockets
/// may be bound, and only listen(2) checks again, under the lock of the port (inet_csk_listen_start
/// in net/ipv4/inet_connection_sock.c). Peers that arrive before a worker is ready are queued. A
/// listener that joins does not listen yet.
Opened open(const Options& options);

/// Locks a folder against another server that replaces a unix socket in it (flock, exclusive, not
/// waiting). Returns a descriptor that holds the lock until it is closed, or a negative errno.
int lock_folder(const std::string& path);

/// A listening socket that another program opened: systemd's socket activation.
struct Inherited {
  /// errno and the check that failed; 0 and "" on success. EPROTOTYPE: not a stream socket; EINVAL:
  /// it does not listen; EAFNOSUPPORT: neither IPv4, IPv6 nor unix.
  int error;
  const char* call;
  /// As in `Options`; an abstract unix name starts with '@'.
  std::string host;
  uint16_t port;
  bool is_unix;
};

/// Checks an inherited socket and sets the options of our own sockets; its backlog stays. They
/// include O_NONBLOCK: systemd passes blocking sockets, and a worker whose peer another worker
/// accepted would hang in accept.
Inherited register_fd(int fd, uint32_t keepalive_s, uint32_t user_timeout_ms = 0);

/// Listens, or changes the backlog of a socket that listens. 0 or errno.
int listen(int fd, uint32_t backlog);

void shut_down(int fd);

/// The port that the kernel chose, 0 for a unix socket.
uint16_t port(int fd);

/// Spreads new connections over a group of listeners by weight; index i is the i-th socket of the
/// group that listened. Weights that are all 0 are rejected with EINVAL.
///
/// A classic BPF program (SO_ATTACH_REUSEPORT_CBPF) compares a random number with cumulative
/// thresholds. 0 or errno.
int steer(int fd, const std::vector<uint32_t>& weights);

/// Returns to the kernel's own hash, which is even. 0 or errno; a missing program is not an error.
int stop_steering(int fd);

}  // namespace megacomet::listening
