// Tests of the index of rows: against a map, with hashes that collide.
#include "base/row_index.h"

#include <map>

#include "support/unit.h"

using namespace megacomet;

TEST("an index finds each row that a map finds, also where hashes collide") {
  RowIndex index;
  // By row: its hash. Few hashes, most of which end alike.
  std::map<uint32_t, uint32_t> model;
  const auto has = [&](uint32_t row) {
    const auto found = model.find(row);
    const uint32_t hash = found == model.end() ? row % 7 : found->second;
    const uint32_t known = index.find(hash, [row](uint32_t one) { return one == row; });
    return known == row;
  };
  for (int step = 0; step < 20'000; ++step) {
    const auto row = static_cast<uint32_t>(unit::upto(300));
    if (model.count(row) == 0) {
      model[row] = static_cast<uint32_t>(unit::upto(3) << 29U | unit::upto(40));
      index.insert(model[row], row);
    } else {
      index.erase(model[row], row);
      model.erase(row);
    }
    if (step % 1000 == 0) index.trim();
    const auto other = static_cast<uint32_t>(unit::upto(300));
    if (!EXPECT_EQUAL(has(other), model.count(other) == 1)) return;
    if (!EXPECT_EQUAL(index.size(), model.size())) return;
  }
  for (const auto& [row, hash] : model) EXPECT(has(row));
}

TEST("an empty index finds nothing, and an unknown row cannot be erased") {
  RowIndex index;
  EXPECT_EQUAL(index.find(1, [](uint32_t) { return true; }), RowIndex::kNone);
  index.insert(1, 5);
  EXPECT(unit::aborts([&] { index.erase(1, 6); }));
}
