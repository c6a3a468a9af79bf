// One line a minute for each kind of rejection. See rejection_log.h.
#include "connection/rejection_log.h"

#include "base/bounds.h"
#include "os/sys.h"

namespace megacomet {

namespace {

/// The first bytes of a client's text in quotation marks. All but printable ASCII becomes "?", so
/// that no terminal obeys the text.
std::string shown(std::string_view text) {
  std::string out = "\"";
  for (const char letter : text.substr(0, bounds::kLoggedTextMax)) {
    const bool is_shown = letter >= ' ' && letter <= '~' && letter != '"' && letter != '\\';
    out.push_back(is_shown ? letter : '?');
  }
  return out.append(text.size() > bounds::kLoggedTextMax ? "…\"" : "\"");
}

}  // namespace

void RejectionLog::note_origin(std::string_view origin) {
  counters_->add(Counter::kForeignOriginsTotal);
  if (!is_due(kOrigin, 1)) return;
  write(kOrigin, "a page of " + shown(origin) + " was refused: --origin does not list its origin");
}

void RejectionLog::note_protocol(std::string_view protocol) {
  counters_->add(Counter::kForeignProtocolTotal);
  if (!is_due(kProtocol, 1)) return;
  write(kProtocol, std::string("a peer spoke another protocol: ").append(protocol));
}

void RejectionLog::note_request(uint16_t code, std::string_view sentence, std::string_view path) {
  if (!is_due(kRequest, bounds::kRejectionBurst)) return;
  std::string line = "many requests are rejected; the last with " + std::to_string(code) + " (";
  line.append(sentence).append(")");
  if (!path.empty()) line.append(", for ").append(shown(path));
  write(kRequest, line);
}

/// Counts an event. Whether it is the one that the window's line is about.
bool RejectionLog::is_due(Kind kind, uint32_t events_min) {
  Window& window = windows_[kind];
  const uint64_t now_ns = sys::monotonic_ns();
  if (now_ns >= window.ends_ns) {
    window.ends_ns = now_ns + uint64_t{bounds::kRejectionLogMs} * 1'000'000;
    window.events = 0;
    window.has_line = false;
  }
  ++window.events;
  if (!window.has_line && window.events >= events_min) return true;
  ++window.suppressed;
  return false;
}

void RejectionLog::write(Kind kind, const std::string& line) {
  Window& window = windows_[kind];
  window.has_line = true;
  if (!control_->log(LogLevel::kInfo, line.c_str(), 0, window.suppressed)) {
    counters_->add(Counter::kLogDroppedTotal);
  }
  window.suppressed = 0;
}

}  // namespace megacomet
