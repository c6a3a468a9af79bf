// The system calls that the server makes, each answering with a closed result instead of errno.
// Nothing here keeps state, logs, or knows what a connection is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <sys/uio.h>

struct sockaddr;

namespace megacomet::sys {

/// CLOCK_MONOTONIC in nanoseconds: the only clock of the server, so a jump of the wall clock
/// changes nothing. Comparable between processes of one machine.
uint64_t monotonic_ns();

/// What accept4() came to. Each value has one answer; see listener.cc.
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

/// Takes one connection from a listener, non-blocking and close-on-exec.
Accepted accept(int listener);

enum class IoStatus { kDone, kAgain, kEnd, kFailed };

struct IoResult {
  IoStatus status;
  size_t bytes;
  int error;
};

/// Reads what is there, at most `size` bytes. kEnd is an orderly end of the peer's side.
IoResult receive(int fd, void* buffer, size_t size);

/// Writes without SIGPIPE. kDone may be a short write: the caller compares `bytes`.
IoResult send(int fd, const void* bytes, size_t size);

/// As send(), for `count` parts one behind the other, at most IOV_MAX.
IoResult send_parts(int fd, iovec* parts, size_t count);

/// Reads or writes a descriptor that is not a TCP socket (the control stream).
IoResult read_stream(int fd, void* buffer, size_t size);
IoResult write_stream(int fd, const void* bytes, size_t size);

void close(int fd);

/// Tells the peer that nothing more comes; it may still send.
void end_output(int fd);

/// Closes with a reset, so that the peer learns at once that it was refused.
void reset(int fd);

/// Ends a listening socket for all processes that hold it: its queue is reset, peers are refused.
void shut_down(int fd);

/// A descriptor that only holds a place, to be given up when none is left. -1 when there is none.
int open_spare();

bool set_nonblocking(int fd);

/// The number of descriptors that this process has open.
uint32_t open_descriptors();

/// Raises the soft limit of open files to the hard one and returns what holds then.
uint64_t raise_descriptor_limit();

/// Gives this thread a descriptor table of its own, grown once for `descriptors` numbers.
///
/// Growing a table that threads share waits for an RCU grace period (fs/file.c expand_fdtable), and
/// Node always has threads: accept4() then stalls for 20 to 40 ms at each power of two. Where
/// unshare(2) is forbidden (seccomp), the one growth at the start still avoids the later stalls.
void prepare_descriptor_table(uint32_t descriptors);

/// Maps zeroed memory that costs nothing until it is touched. nullptr when the kernel refuses.
void* reserve_memory(size_t bytes);
void release_memory(void* memory, size_t bytes);

/// Gives touched pages back; they read as zero afterwards.
void forget_pages(void* memory, size_t bytes);

/// A shared memory file, sealed against growing and shrinking. -1 with errno on failure.
int create_shared(const char* name, size_t bytes);
/// The size of a file, 0 if the descriptor is none.
size_t file_bytes(int fd);
void* map_shared(int fd, size_t bytes);

/// Ignores the signals that a terminal or an init system sends to a whole group: orders come on the
/// control stream only, so Ctrl-C cannot race the manager.
void ignore_group_signals();

/// Asks the kernel for SIGKILL when the parent thread dies. False if the parent is another process
/// than `parent` by then: it died before the request, and no signal will come.
///
/// SIGKILL, because a stopped process does not act on SIGTERM.
bool die_with_parent(uint32_t parent);

void forbid_new_privileges();

/// Gives up every capability of this thread, those that an exec would inherit included. setuid()
/// leaves the inheritable ones, and all of them where the securebits say so. False if any is left.
bool drop_capabilities();

/// Whether this process is root by its effective user id.
bool is_root();

/// Makes the kernel take this process before others when memory runs out. Never lowers what is set
/// already; false where the file cannot be written.
bool raise_oom_score(int score);

/// Sends one datagram to a unix socket: a path, or '@' and an abstract name. 0 or errno. It never
/// waits: EAGAIN is a receiver whose queue is full.
int send_datagram(const std::string& name, const std::string& text);

/// Opens a non-blocking TCP socket bound to `source` (its port 0), without reserving the port yet.
///
/// IP_BIND_ADDRESS_NO_PORT leaves the choice to connect(), where one port serves many
/// destinations; IP_LOCAL_PORT_RANGE (Linux 6.3) makes the kernel try every port in turn instead of
/// first all the even ones, which is 33 times slower once half of them are taken.
int open_dialing_socket(const sockaddr* source, uint32_t source_bytes);

/// Starts a connect: kDone, kAgain (under way), or kFailed.
IoResult connect(int fd, const sockaddr* target, uint32_t target_bytes);

/// The pending error of a socket, 0 if none.
int socket_error(int fd);

/// Milliseconds since the peer of a new connection sent its last bytes, or, where it has sent none
/// yet, since it connected (tcpi_last_data_recv of TCP_INFO, net/ipv4/tcp.c): how long it has
/// waited in the queue of the listener. 0 where the kernel does not say, as for a unix socket.
uint32_t waited_ms(int fd);

}  // namespace megacomet::sys
