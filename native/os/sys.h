// The system calls of the native side, each with a closed result instead of errno.
// Functions only: no state, no log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/uio.h>

struct sockaddr;
struct sockaddr_storage;

namespace megacomet::sys {

/// CLOCK_MONOTONIC in nanoseconds. The server measures time with no other clock, so a jump of the
/// wall clock has no effect. The values of two processes on one machine can be compared.
uint64_t monotonic_ns();

/// Seconds of the epoch by the wall clock, for dates of others: tokens. Not by the coarse clock,
/// which is up to a tick of the kernel behind: a token may be used in the moment in which it was
/// issued.
uint64_t wall_s();

/// Fills a buffer of at most 256 bytes with random bytes for secrets. False if the kernel has none
/// (getrandom(2)).
bool fill_random(void* buffer, size_t size);

/// The result of accept4(). listener.cc reacts to each value.
enum class AcceptStatus {
  kAccepted,
  kEmpty,
  kTransient,
  kOutOfDescriptors,
  kOutOfFiles,
  kOutOfBuffers,
  kOutOfMemory,
  kShutDown,
  kForbidden,
  kBroken,
};

struct Accepted {
  AcceptStatus status;
  int fd;
  int error;
};

/// Takes one connection from a listener, non-blocking and close-on-exec. `peer` gets the address of
/// its other end; may be null.
Accepted accept(int listener, sockaddr_storage* peer = nullptr);

enum class IoStatus { kDone, kAgain, kEnd, kFailed };

struct IoResult {
  IoStatus status;
  size_t bytes;
  int error;
};

/// Reads at most `size` bytes. kEnd: the peer closed its sending side.
IoResult receive(int fd, void* buffer, size_t size);

/// Writes without SIGPIPE. kDone may be a short write: the caller compares `bytes`.
IoResult send(int fd, const void* bytes, size_t size);

/// As send(), for `count` consecutive parts, at most IOV_MAX.
IoResult send_parts(int fd, iovec* parts, size_t count);

/// Reads or writes a descriptor that is not a TCP socket (the control stream).
IoResult read_stream(int fd, void* buffer, size_t size);
IoResult write_stream(int fd, const void* bytes, size_t size);

void close(int fd);

/// Closes the sending side. The peer may still send.
void end_output(int fd);

/// Closes with a reset, so that the peer sees the rejection at once.
void reset(int fd);

/// Shuts down a listening socket for all processes that hold it. The kernel resets its queue and
/// rejects new peers.
void shut_down(int fd);

/// Opens a descriptor of no use, which can be closed when all others are taken. -1 on failure.
int open_spare();

bool set_nonblocking(int fd);

/// Marks every open descriptor from `first` on as close-on-exec.
void close_on_exec(int first);

/// Between these two calls a process that this thread starts inherits no descriptor that it is not
/// given. If `drops_capabilities`, it has no capability either, even as root (SECBIT_NOROOT):
/// otherwise each thread would have to drop them, and one of Node's threads blocks all signals.
/// Without CAP_SETPCAP the bit cannot be set. The second call takes the result of the first one:
/// the securebits of before, or -1.
[[nodiscard]] int guard_spawn(bool drops_capabilities);
void end_spawn(int securebits);

/// The number of open descriptors of this process.
uint32_t open_descriptors();

/// Raises the soft limit of open files to the hard limit. Returns the soft limit.
uint64_t raise_descriptor_limit();

/// Gives this thread its own descriptor table, and grows it once to `descriptors` entries.
///
/// The growth of a table that threads share waits for an RCU grace period (expand_fdtable in
/// fs/file.c), and Node always has threads. accept4() would stall for 20 to 40 ms at each power of
/// two. Where seccomp forbids unshare(2), the one growth at the start still avoids the later
/// stalls.
void prepare_descriptor_table(uint32_t descriptors);

/// Maps zeroed memory. A page uses memory after its first access. nullptr on failure.
void* reserve_memory(size_t bytes);
void release_memory(void* memory, size_t bytes);

/// Leaves mapped memory out of core dumps (MADV_DONTDUMP of madvise(2)).
void hide_from_dumps(void* memory, size_t bytes);

/// Returns used pages to the kernel. They read as zero afterwards.
void forget_pages(void* memory, size_t bytes);

/// A shared memory file whose size is sealed. -1 with errno on failure.
int create_shared(const char* name, size_t bytes);

/// Makes bytes of a shared file zero, in every process, and gives their memory back. False with
/// errno on failure.
bool forget_bytes(int fd, size_t start, size_t bytes);
/// The size of a file; 0 if the descriptor is not a file.
size_t file_bytes(int fd);
void* map_shared(int fd, size_t bytes);

/// Ignores the signals that a terminal or an init system sends to a process group. Commands arrive
/// on the control stream only, so Ctrl-C cannot race with the manager.
void ignore_group_signals();

/// Asks the kernel to send SIGKILL when the parent thread dies. False if `parent` is not the parent
/// any more: it died before this call, and the kernel will send no signal.
///
/// SIGKILL, because a stopped process does not react to SIGTERM.
bool die_with_parent(uint32_t parent);

void forbid_new_privileges();

/// Drops every capability of this thread, including the inheritable ones. setuid() keeps those, and
/// with some securebits it keeps all. False if any capability is left.
bool drop_capabilities();

/// Makes /proc/PID of this process readable for root only, and forbids ptrace and core dumps
/// (PR_SET_DUMPABLE): another process of the same user cannot read its memory.
void forbid_tracing();

/// Forbids core dumps of this process (RLIMIT_CORE), for good. Its memory can be measured still.
void forbid_core_dumps();

/// Raises oom_score_adj, so that the kernel kills this process before others when memory runs out.
/// Keeps a higher score. False if the file cannot be written.
bool raise_oom_score(int score);

/// Sends one datagram to a unix socket: a path, or '@' and an abstract name. Returns 0 or errno.
/// Never blocks: EAGAIN means that the queue of the receiver is full.
int send_datagram(const std::string& name, const std::string& text);

/// Opens a non-blocking TCP socket and binds it to `source`, whose port is 0.
///
/// With IP_BIND_ADDRESS_NO_PORT the kernel chooses the port in connect(), so one port can serve
/// many destinations. With IP_LOCAL_PORT_RANGE (Linux 6.3) it tries every port in order. Without it
/// the kernel tries all even ports first, which is 33 times slower once half of the ports are in
/// use.
int open_dialing_socket(const sockaddr* source, uint32_t source_bytes);

/// Starts a connect: kDone, kAgain (in progress), or kFailed.
IoResult connect(int fd, const sockaddr* target, uint32_t target_bytes);

/// The pending error of a socket, 0 if none.
int socket_error(int fd);

/// Milliseconds that a new connection has waited in the queue of its listener: the time since the
/// peer's last bytes, or since it connected (tcpi_last_data_recv of TCP_INFO, net/ipv4/tcp.c).
/// 0 for a unix socket, which has no such value.
uint32_t waited_ms(int fd);

/// Returns free memory of the heap to the kernel. The allocator keeps it otherwise.
void trim_heap();

}  // namespace megacomet::sys
