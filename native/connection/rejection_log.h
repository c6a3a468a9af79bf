// Log lines about rejected peers: one a minute for each kind, with an example.
// An operator sees a wrong --origin, URL or port there; the counters have the numbers.
#pragma once

#include <cstdint>
#include <string_view>

#include "codec/foreign_protocol.h"
#include "connection/rare_log.h"
#include "ipc/control.h"
#include "ipc/segment.h"

namespace megacomet {

class RejectionLog {
 public:
  RejectionLog(Control* control, Counters* counters);
  RejectionLog(const RejectionLog&) = delete;
  RejectionLog& operator=(const RejectionLog&) = delete;

  /// A page of an origin that --origin does not list sent a request.
  void note_origin(std::string_view origin);
  /// A peer spoke another protocol.
  void note_protocol(ForeignProtocol protocol);
  /// A request was rejected with this code. One alone is not logged: anybody scans an open port.
  void note_request(uint16_t code, std::string_view sentence, std::string_view path);

 private:
  Counters* counters_;
  RareLog origins_;
  RareLog protocols_;
  RareLog requests_;
};

}  // namespace megacomet
