// Log lines about rejected peers: one a minute for each kind, with an example.
// An operator sees a wrong --origin, URL or port there; the counters have the numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ipc/control.h"
#include "ipc/segment.h"

namespace megacomet {

class RejectionLog {
 public:
  RejectionLog(Control* control, Counters* counters) : control_(control), counters_(counters) {}
  RejectionLog(const RejectionLog&) = delete;
  RejectionLog& operator=(const RejectionLog&) = delete;

  /// A page of an origin that --origin does not list sent a request.
  void note_origin(std::string_view origin);
  /// A peer spoke another protocol, which `protocol` names.
  void note_protocol(std::string_view protocol);
  /// A request was rejected with this code. One alone is not logged: anybody scans an open port.
  void note_request(uint16_t code, std::string_view sentence, std::string_view path);

 private:
  enum Kind : uint8_t { kOrigin, kProtocol, kRequest, kKinds };
  struct Window {
    uint64_t ends_ns;
    /// Events of the window, and of all those after the last line that have no line.
    uint32_t events;
    uint32_t suppressed;
    bool has_line;
  };

  [[nodiscard]] bool is_due(Kind kind, uint32_t events_min);
  void write(Kind kind, const std::string& line);

  Control* control_;
  Counters* counters_;
  std::array<Window, kKinds> windows_{};
};

}  // namespace megacomet
