// Makes and deletes sessions. Nothing else does.
#pragma once

#include "connection/connection.h"
#include "connection/input_budget.h"
#include "connection/session.h"
#include "ipc/segment.h"

namespace megacomet {

class Sessions {
 public:
  Sessions(Counters* counters, InputBudget* input_budget)
      : counters_(counters), input_budget_(input_budget) {}
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  /// The connection's session, made if it has none.
  Session* acquire(Connection* connection);

  /// Deletes the session unless something needs it. Call it last: the session may be gone.
  void release(Connection* connection);

  /// Deletes the session of a connection that closes, which has left its channels.
  void destroy(Connection* connection);

 private:
  Counters* counters_;
  InputBudget* input_budget_;
};

}  // namespace megacomet
