// Tests of the events of the server, as a reader by the standard receives them.
#include "protocol/server_events.h"

#include <iterator>
#include <limits>
#include <string>

#include "support/sse_reader.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr Cursor kCursors[] = {
    {0, 0},
    {1, 1},
    {std::numeric_limits<uint64_t>::max(), std::numeric_limits<uint64_t>::max()},
};

/// The cursor of the only member, or of the last one.
std::string cursor_in(const std::string& data) {
  const std::string name = "\"cursor\":\"";
  const size_t start = data.find(name) + name.size();
  return data.substr(start, data.find('"', start) - start);
}

}  // namespace

TEST("an event with a position has its cursor as id and in its data, at every size") {
  using Append = void (*)(const Cursor&, std::string*);
  struct Row {
    Append append;
    const char* type;
    const char* start;
  };
  const Row rows[] = {
      {append_subscribed_event, "megacomet.subscribed", R"({"recovered":true,"cursor":")"},
      {append_gap_event, "megacomet.gap", R"({"recovered":false,"cursor":")"},
      {append_lost_event, "megacomet.lost", R"({"cursor":")"},
  };
  for (const Row& row : rows) {
    std::string stream;
    for (const Cursor& cursor : kCursors) row.append(cursor, &stream);
    sse::Reader reader;
    reader.read(stream);
    EXPECT_EQUAL(reader.events.size(), std::size(kCursors));
    for (size_t at = 0; at < reader.events.size(); ++at) {
      const sse::Event& event = reader.events[at];
      EXPECT(event.type == row.type);
      EXPECT(event.data.compare(0, std::string(row.start).size(), row.start) == 0);
      EXPECT(cursor_in(event.data) == event.last_id);
      Cursor found{};
      EXPECT(parse_cursor(event.last_id, &found) && found == kCursors[at]);
    }
    EXPECT(reader.retry.empty());
  }
}

TEST("an event that ends a stream says when to reconnect, and keeps the last id") {
  using Append = void (*)(uint32_t, std::string*);
  struct Row {
    Append append;
    const char* type;
  };
  const Row rows[] = {
      {append_full_event, "megacomet.full"},
      {append_unavailable_event, "megacomet.unavailable"},
      {append_limited_event, "megacomet.limited"},
      {append_shutdown_event, "megacomet.shutdown"},
  };
  for (const Row& row : rows) {
    std::string stream;
    append_lost_event({7, 9}, &stream);
    row.append(4'294'967'295, &stream);
    sse::Reader reader;
    reader.read(stream);
    EXPECT_EQUAL(reader.events.size(), 2U);
    EXPECT(reader.events.back().type == row.type);
    EXPECT(reader.events.back().data == "{\"retryMs\":4294967295}");
    EXPECT(reader.events.back().last_id == reader.events.front().last_id);
    EXPECT(reader.retry == "4294967295");
  }
}
