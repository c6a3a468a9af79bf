// Binding and steering listeners. See listening.h.
#include "addon/listening.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/address.h"
#include "os/sys.h"

#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

namespace megacomet::listening {

namespace {

/// Keep-alive probes after the idle time. Four of them, 30 s apart, detect a peer that vanished
/// after two minutes.
constexpr int kKeepaliveIntervalS = 30;
constexpr int kKeepaliveProbes = 4;

/// False unless the text is a numeric address or a path that can be bound.
bool make_address(const Options& options, Address* out) {
  if (!options.is_unix) return parse_host(options.host, options.port, out);
  return !options.host.empty() && parse_path(options.host, out);
}

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/// Accepted sockets inherit these options, which saves system calls for each connection.
bool set_inherited(int fd, uint32_t keepalive_s, uint32_t user_timeout_ms) {
  if (!set(fd, IPPROTO_TCP, TCP_NODELAY, 1)) return false;
  const int timeout_ms = static_cast<int>(user_timeout_ms);
  if (timeout_ms > 0 && !set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_ms)) return false;
  if (keepalive_s == 0) return true;
  return set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
         set(fd, IPPROTO_TCP, TCP_KEEPIDLE, static_cast<int>(keepalive_s)) &&
         set(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalS) &&
         set(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

bool set_options(int fd, int family, const Options& options) {
  if (options.is_unix) return true;
  // Otherwise connections in TIME_WAIT would keep a restarted server from the port.
  if (!set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) return false;
  if (options.joins && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return false;
  if (family == AF_INET6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only ? 1 : 0)) {
    return false;
  }
  return set_inherited(fd, options.keepalive_s, options.user_timeout_ms);
}

/// Before listen(), so that no client connects before. Not by umask(), which all threads share.
bool set_file(const Options& options, const char** call) {
  if (!options.is_unix || options.host[0] == '@') return true;
  const char* path = options.host.c_str();
  const auto owner = static_cast<uid_t>(options.uid);
  const auto group = static_cast<gid_t>(options.gid);
  *call = "chown";
  const bool has_owner = options.uid >= 0 || options.gid >= 0;
  if (has_owner && ::lchown(path, owner, group) != 0) return false;
  *call = "chmod";
  return options.mode < 0 || ::chmod(path, static_cast<mode_t>(options.mode)) == 0;
}

Opened failed(int fd, const char* call) {
  const int error = errno;
  if (fd >= 0) sys::close(fd);
  return {-1, error, call};
}

int option_of(int fd, int option) {
  int value = -1;
  socklen_t bytes = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &bytes) == 0 ? value : -1;
}

/// Checks that we can serve a listener: 0, or an errno and the failed check in `call`.
int check_listener(int fd, const char** call) {
  *call = "getsockopt";
  const int type = option_of(fd, SO_TYPE);
  if (type < 0) return errno;
  *call = "type";
  if (type != SOCK_STREAM) return EPROTOTYPE;
  *call = "listening";
  if (option_of(fd, SO_ACCEPTCONN) != 1) return EINVAL;
  *call = "family";
  const int family = option_of(fd, SO_DOMAIN);
  const bool is_known = family == AF_INET || family == AF_INET6 || family == AF_UNIX;
  return is_known ? 0 : EAFNOSUPPORT;
}

std::string path_of(const sockaddr_un& local, socklen_t bytes) {
  const size_t head = offsetof(sockaddr_un, sun_path);
  std::string path(local.sun_path, bytes > head ? bytes - head : 0);
  if (!path.empty() && path[0] == '\0') {
    path[0] = '@';
    return path;
  }
  return path.c_str();
}

std::string host_of(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return text;
}

sock_filter instruction(uint16_t code, uint8_t if_true, uint8_t if_false, uint32_t operand) {
  return sock_filter{code, if_true, if_false, operand};
}

}  // namespace

Opened open(const Options& options) {
  Address address{};
  if (!make_address(options, &address)) {
    errno = EINVAL;
    return failed(-1, "address");
  }
  const int family = address.storage.ss_family;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return failed(fd, "socket");
  if (!set_options(fd, family, options)) return failed(fd, "setsockopt");
  if (::bind(fd, address.get(), address.bytes) != 0) {
    return failed(fd, "bind");
  }
  const char* call = "";
  if (!set_file(options, &call)) {
    const int error = errno;
    ::unlink(options.host.c_str());
    errno = error;
    return failed(fd, call);
  }
  if (!options.joins && ::listen(fd, static_cast<int>(options.backlog)) != 0) {
    return failed(fd, "listen");
  }
  if (!options.is_unix && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) return failed(fd, "setsockopt");
  return {fd, 0, ""};
}

int lock_folder(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  sys::close(fd);
  return -error;
}

Inherited register_fd(int fd, uint32_t keepalive_s, uint32_t user_timeout_ms) {
  Inherited listener{0, "", "", 0, false};
  listener.error = check_listener(fd, &listener.call);
  if (listener.error != 0) return listener;
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  listener.call = "getsockname";
  bool is_ready = ::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) == 0;
  listener.is_unix = storage.ss_family == AF_UNIX;
  if (is_ready) {
    listener.call = "fcntl";
    is_ready = ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && sys::set_nonblocking(fd);
  }
  if (is_ready && !listener.is_unix) {
    listener.call = "setsockopt";
    is_ready = set_inherited(fd, keepalive_s, user_timeout_ms);
  }
  if (!is_ready) {
    listener.error = errno;
    return listener;
  }
  listener.call = "";
  listener.port = port(fd);
  listener.host = listener.is_unix ? path_of(reinterpret_cast<const sockaddr_un&>(storage), bytes)
                                   : host_of(storage);
  return listener;
}

int listen(int fd, uint32_t backlog) {
  return ::listen(fd, static_cast<int>(backlog)) == 0 ? 0 : errno;
}

void shut_down(int fd) {
  sys::shut_down(fd);
}

uint16_t port(int fd) {
  sockaddr_storage storage{};
  socklen_t bytes = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &bytes) != 0) return 0;
  if (storage.ss_family == AF_INET) {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&storage)->sin_port);
  }
  if (storage.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage)->sin6_port);
  }
  return 0;
}

int steer(int fd, const std::vector<uint32_t>& weights) {
  uint64_t total = 0;
  for (const uint32_t weight : weights) total += weight;
  if (total == 0) return EINVAL;
  std::vector<sock_filter> program;
  program.push_back(instruction(
      BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM)));
  // A sum shifted left by 32 bits must fit into 64 bits.
  uint32_t shift = 0;
  while ((total >> shift) > UINT32_MAX) ++shift;
  uint64_t sum = 0;
  uint32_t last = 0;
  for (uint32_t index = 0; index < weights.size(); ++index) {
    if (weights[index] == 0) continue;
    sum += weights[index];
    last = index;
    // A 32-bit random number below the threshold sends the peer to `index`.
    const uint64_t threshold = ((sum >> shift) << 32U) / (total >> shift);
    const auto operand = static_cast<uint32_t>(std::min<uint64_t>(threshold, UINT32_MAX));
    program.push_back(instruction(BPF_JMP | BPF_JGE | BPF_K, 1, 0, operand));
    program.push_back(instruction(BPF_RET | BPF_K, 0, 0, index));
  }
  program.push_back(instruction(BPF_RET | BPF_K, 0, 0, last));
  const sock_fprog filter{static_cast<uint16_t>(program.size()), program.data()};
  return ::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) == 0
             ? 0
             : errno;
}

int stop_steering(int fd) {
  const int unused = 0;
  if (::setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof unused) == 0) return 0;
  return errno == ENOENT ? 0 : errno;
}

}  // namespace megacomet::listening
