// Which system calls a process that parses untrusted bytes may not make.
#pragma once

namespace megacomet::sandbox {

/// Forbids this process, in all its threads and for good, the calls that signal, trace or limit
/// another process, or access its memory: code that took over a worker cannot end the manager,
/// which runs as the same user. A forbidden call fails with EPERM. Needs no_new_privs.
///
/// Files are not covered: /proc/PID/mem of the manager is closed by forbid_tracing(), that of
/// another worker is open where kernel.yama.ptrace_scope is 0.
///
/// False where the kernel, a container or the architecture has no such filter (seccomp_filter(2));
/// then nothing has changed.
bool isolate_from_processes();

}  // namespace megacomet::sandbox
