// System calls with closed results. sys.h has the contracts; the reasons are here.
#include "os/sys.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <initializer_list>

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

namespace megacomet::sys {

namespace {

/// Bytes up to which send_parts() copies its parts. The copy takes a tenth of the time that it
/// saves.
constexpr size_t kTogetherBytes = 1024;

IoResult io_result(ssize_t count, bool zero_is_end) {
  if (count > 0 || (count == 0 && !zero_is_end)) {
    return {IoStatus::kDone, static_cast<size_t>(count), 0};
  }
  if (count == 0) return {IoStatus::kEnd, 0, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::kAgain, 0, 0};
  return {IoStatus::kFailed, 0, errno};
}

template <typename Call>
ssize_t retry_interrupted(Call call) {
  ssize_t result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

AcceptStatus accept_status(int error) {
  switch (error) {
    case EAGAIN:
      return AcceptStatus::kEmpty;
    // accept(2): Linux passes pending errors of the new connection on. The next one may be fine.
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
      return AcceptStatus::kTransient;
    case EMFILE:
      return AcceptStatus::kOutOfDescriptors;
    case ENFILE:
      return AcceptStatus::kOutOfFiles;
    case ENOBUFS:
      return AcceptStatus::kOutOfBuffers;
    case ENOMEM:
      return AcceptStatus::kOutOfMemory;
    case EINVAL:
      return AcceptStatus::kShutDown;
    case EPERM:
      return AcceptStatus::kForbidden;
    default:
      return AcceptStatus::kBroken;
  }
}

}  // namespace

uint64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t wall_s() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec);
}

bool fill_random(void* buffer, size_t size) {
  return ::getrandom(buffer, size, 0) == static_cast<ssize_t>(size);
}

Accepted accept(int listener, sockaddr_storage* peer) {
  socklen_t bytes = sizeof *peer;
  const int fd = ::accept4(listener,
                           reinterpret_cast<sockaddr*>(peer),
                           peer == nullptr ? nullptr : &bytes,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) return {AcceptStatus::kAccepted, fd, 0};
  const int error = errno;
  return {accept_status(error), -1, error};
}

// Not recv() and send(): in a process with threads, as Node always is, both are cancellation points
// of the C library, with two locked instructions around each call. Echo spent 1.3 % of its time
// there.
IoResult receive(int fd, void* buffer, size_t size) {
  const auto call = [&] { return ::syscall(SYS_recvfrom, fd, buffer, size, 0, nullptr, nullptr); };
  return io_result(retry_interrupted(call), true);
}

IoResult send(int fd, const void* bytes, size_t size) {
  const auto call = [&] {
    return ::syscall(SYS_sendto, fd, bytes, size, MSG_NOSIGNAL, nullptr, 0);
  };
  return io_result(retry_interrupted(call), false);
}

IoResult send_parts(int fd, iovec* parts, size_t count) {
  // The kernel sends one buffer 0.15 µs faster than a list of two (responses to handshakes).
  uint8_t together[kTogetherBytes];
  size_t size = 0;
  size_t at = 0;
  for (; at < count && parts[at].iov_len <= sizeof together - size; ++at) {
    std::memcpy(together + size, parts[at].iov_base, parts[at].iov_len);
    size += parts[at].iov_len;
  }
  if (at == count) return send(fd, together, size);
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  const auto call = [&] { return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL); };
  return io_result(retry_interrupted(call), false);
}

IoResult read_stream(int fd, void* buffer, size_t size) {
  return io_result(retry_interrupted([&] { return ::read(fd, buffer, size); }), true);
}

IoResult write_stream(int fd, const void* bytes, size_t size) {
  return io_result(retry_interrupted([&] { return ::write(fd, bytes, size); }), false);
}

void close(int fd) {
  // No retry after EINTR: Linux has freed the number already, and another thread may use it.
  ::close(fd);
}

void end_output(int fd) {
  ::shutdown(fd, SHUT_WR);
}

void reset(int fd) {
  const linger hard{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  ::close(fd);
}

void shut_down(int fd) {
  ::shutdown(fd, SHUT_RDWR);
}

int open_spare() {
  return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
}

bool set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void close_on_exec(int first) {
  // Linux 5.11 has the flag; before, the list in /proc is read.
  if (::syscall(SYS_close_range, first, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    int fd = -1;
    std::from_chars(entry->d_name, entry->d_name + std::strlen(entry->d_name), fd);
    if (fd >= first) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  ::closedir(directory);
}

uint32_t open_descriptors() {
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  uint32_t count = 0;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') ++count;
  }
  ::closedir(directory);
  // Without the descriptor of the directory itself.
  return count > 0 ? count - 1 : 0;
}

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

void prepare_descriptor_table(uint32_t descriptors) {
  ::unshare(CLONE_FILES);
  const int highest = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, static_cast<int>(descriptors) - 1);
  if (highest >= 0) ::close(highest);
}

void* reserve_memory(size_t bytes) {
  void* memory = ::mmap(
      nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  // Where transparent huge pages are set to `always`, one connection would use 2 MiB.
  ::madvise(memory, bytes, MADV_NOHUGEPAGE);
  return memory;
}

void release_memory(void* memory, size_t bytes) {
  ::munmap(memory, bytes);
}

void hide_from_dumps(void* memory, size_t bytes) {
  ::madvise(memory, bytes, MADV_DONTDUMP);
}

void forget_pages(void* memory, size_t bytes) {
  ::madvise(memory, bytes, MADV_DONTNEED);
}

int create_shared(const char* name, size_t bytes) {
  const int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    ::close(fd);
    return -1;
  }
  return fd;
}

bool forget_bytes(int fd, size_t start, size_t bytes) {
  return ::fallocate(fd,
                     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     static_cast<off_t>(start),
                     static_cast<off_t>(bytes)) == 0;
}

size_t file_bytes(int fd) {
  // Not fstat(): its symbol needs glibc 2.33, and Node runs on 2.28.
  const off_t bytes = ::lseek(fd, 0, SEEK_END);
  return bytes < 0 ? 0 : static_cast<size_t>(bytes);
}

void* map_shared(int fd, size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

void ignore_group_signals() {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE}) {
    ::sigaction(signal, &ignore, nullptr);
  }
}

bool die_with_parent(uint32_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  return ::getppid() == static_cast<pid_t>(parent);
}

void forbid_new_privileges() {
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

bool drop_capabilities() {
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // System calls and not libcap, which would be one more library to install.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {};
  ::syscall(SYS_capset, &header, sets);
  // Checked by capget(): a sandbox can make capset() fail although no capability is left.
  __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, left) != 0) return false;
  return std::memcmp(left, sets, sizeof sets) == 0;
}

void forbid_tracing() {
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void forbid_core_dumps() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  // A program that core_pattern names gets a dump at any limit but 1 (core(5)).
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, 1);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_CORE, &limit);
}

int guard_spawn(bool drops_capabilities) {
  close_on_exec(3);
  if (!drops_capabilities) return -1;
  const int bits = ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
  if (bits >= 0) ::prctl(PR_SET_SECUREBITS, bits | SECBIT_NOROOT, 0, 0, 0);
  return bits;
}

void end_spawn(int securebits) {
  if (securebits >= 0) ::prctl(PR_SET_SECUREBITS, securebits, 0, 0, 0);
}

bool raise_oom_score(int score) {
  const int fd = ::open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  char text[16];
  const ssize_t bytes = ::read(fd, text, sizeof text);
  int current = 0;
  if (bytes > 0) std::from_chars(text, text + bytes, current);
  bool is_raised = current >= score;
  if (!is_raised) {
    const char* end = std::to_chars(text, text + sizeof text, score).ptr;
    is_raised = ::pwrite(fd, text, static_cast<size_t>(end - text), 0) > 0;
  }
  ::close(fd);
  return is_raised;
}

int send_datagram(const std::string& name, const std::string& text) {
  sockaddr_un target{};
  // A path needs one byte more, for the zero at its end.
  if (name.size() < 2 || name.size() >= sizeof target.sun_path) return EINVAL;
  target.sun_family = AF_UNIX;
  std::memcpy(target.sun_path, name.data(), name.size());
  size_t bytes = offsetof(sockaddr_un, sun_path) + name.size();
  // An abstract name begins with a zero byte, and its length ends it.
  if (name[0] == '@') {
    target.sun_path[0] = '\0';
  } else {
    ++bytes;
  }
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return errno;
  const auto* address = reinterpret_cast<const sockaddr*>(&target);
  const ssize_t sent =
      ::sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, address, static_cast<socklen_t>(bytes));
  const int error = sent < 0 ? errno : 0;
  ::close(fd);
  return error;
}

int open_dialing_socket(const sockaddr* source, uint32_t source_bytes) {
  const int family = source->sa_family;
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || family == AF_UNIX) return fd;
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  // The high half is the last port. The kernel intersects this with the range of the sysctl.
  const uint32_t every_port = (65535U << 16) | 1024U;
  ::setsockopt(fd, SOL_IP, IP_LOCAL_PORT_RANGE, &every_port, sizeof every_port);
  if (::bind(fd, source, source_bytes) == 0) return fd;
  const int error = errno;
  ::close(fd);
  errno = error;
  return -1;
}

IoResult connect(int fd, const sockaddr* target, uint32_t target_bytes) {
  if (::connect(fd, target, target_bytes) == 0) return {IoStatus::kDone, 0, 0};
  if (errno == EINPROGRESS) return {IoStatus::kAgain, 0, 0};
  return {IoStatus::kFailed, 0, errno};
}

uint32_t waited_ms(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_last_data_recv;
}

int socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void trim_heap() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace megacomet::sys
