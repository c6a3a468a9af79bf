// One line a minute for each kind of rejection. See rejection_log.h.
#include "connection/rejection_log.h"

#include <string>

#include "base/bounds.h"

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

RejectionLog::RejectionLog(Control* control, Counters* counters)
    : counters_(counters),
      origins_(control, counters, bounds::kRejectionLogMs),
      protocols_(control, counters, bounds::kRejectionLogMs),
      requests_(control, counters, bounds::kRejectionLogMs) {}

void RejectionLog::note_origin(std::string_view origin) {
  counters_->add(Counter::kForeignOriginsTotal);
  if (!origins_.is_due()) return;
  const std::string line =
      "a page of " + shown(origin) + " was rejected: --origin does not list its origin";
  origins_.write(LogLevel::kInfo, line.c_str());
}

void RejectionLog::note_protocol(ForeignProtocol protocol) {
  counters_->add(Counter::kForeignProtocolTotal);
  if (protocol == ForeignProtocol::kTls) counters_->add(Counter::kTlsAtPlainTotal);
  if (protocol == ForeignProtocol::kHttpAtTls) counters_->add(Counter::kPlainAtTlsTotal);
  if (!protocols_.is_due()) return;
  const std::string line = std::string("a peer spoke another protocol: ").append(name_of(protocol));
  protocols_.write(LogLevel::kInfo, line.c_str());
}

void RejectionLog::note_request(uint16_t code, std::string_view sentence, std::string_view path) {
  if (!requests_.is_due(bounds::kRejectionBurst)) return;
  std::string line = "many requests are rejected; the last with " + std::to_string(code) + " (";
  line.append(sentence).append(")");
  if (!path.empty()) line.append(", for ").append(shown(path));
  requests_.write(LogLevel::kInfo, line.c_str());
}

}  // namespace megacomet
