// Which system calls a process that parses untrusted bytes may not make.
#pragma once

namespace megacomet::sandbox {

/// Forbids this process, in all its threads and for good, to signal, trace, limit or read any other
/// process: code that took over a worker cannot end the manager, which runs as the same user. A
/// forbidden call fails with EPERM. Needs no_new_privs.
///
/// False where the kernel, a container or the architecture has no such filter (seccomp_filter(2));
/// then nothing has changed.
bool isolate_from_processes();

}  // namespace megacomet::sandbox
