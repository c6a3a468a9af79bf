// Hook requests, their answers and their deadline. See hook_requests.h.
#include "hub/hook_requests.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"
#include "connection/client_limits.h"

namespace megacomet {

bool HookRequests::asks_about(HookAction action) const {
  const auto number = static_cast<uint64_t>(action);
  return std::find(rules_.actions.begin(), rules_.actions.end(), number) != rules_.actions.end();
}

bool HookRequests::ask(Connection* connection, frame::HookRequest hook_request) {
  if (waiting_.size() >= bounds::kHookWaitingMax || parts_.control->is_full()) {
    parts_.counters->add(Counter::kHookWaitingFullTotal);
    return false;
  }
  parts_.counters->add(Counter::kHookRequestsTotal);
  hook_request.request = ++last_request_;
  hook_request.user = parts_.services->access->user(connection);
  hook_request.address = parts_.services->limits->host_of(*connection);
  parts_.control->send(hook_request);
  Waiting& waiting = waiting_[hook_request.request];
  waiting.name = name_of(*connection);
  waiting.action = static_cast<HookAction>(hook_request.action);
  waiting.deadline = static_cast<uint16_t>(now_ + bounds::kHookWaitSeconds);
  waiting.channels = std::move(hook_request.channels);
  return true;
}

void HookRequests::on_answer(frame::HookAnswer answer) {
  const auto found = waiting_.find(answer.request);
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  decide(std::move(waiting), std::move(answer));
}

void HookRequests::decide(Waiting waiting, frame::HookAnswer answer) {
  Connection* connection = find_connection(parts_.connections, waiting.name);
  if (connection == nullptr || connection->is_closing) return;
  const Protocol& protocol = *parts_.protocols[connection->protocol];
  if (protocol.on_decision == nullptr) return;
  const HookDecision decision{waiting.action, std::move(waiting.channels), std::move(answer)};
  protocol.on_decision(*parts_.services, connection, decision);
}

void HookRequests::tick(uint16_t now) {
  now_ = now;
  std::vector<Waiting> late;
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (static_cast<int16_t>(now - at->second.deadline) < 0) {
      ++at;
      continue;
    }
    late.push_back(std::move(at->second));
    at = waiting_.erase(at);
  }
  for (Waiting& one : late) {
    parts_.counters->add(Counter::kHookUnansweredTotal);
    frame::HookAnswer answer;
    answer.verdict = static_cast<uint8_t>(HookVerdict::kUnavailable);
    decide(std::move(one), std::move(answer));
  }
}

}  // namespace megacomet
