// Tests of the slab: against a map, at its limits, and the memory that it releases.
#include "os/slab.h"

#include <map>

#include "support/unit.h"

using namespace megacomet;

namespace {

struct Record {
  uint64_t value;
  uint64_t padding[7];
};

constexpr uint32_t kChunk = Slab<Record>::kChunkRecords;

using Model = std::map<int, uint64_t>;

/// Whether a visit of [first, last) meets exactly the records of the model there, in order.
bool agrees(Slab<Record>* slab, const Model& model, uint32_t first, uint32_t last) {
  Model seen;
  const Record* start = slab->at(0);
  const uint32_t end = slab->visit(first, last, [&](Record& record) {
    if (record.value != 0) seen[static_cast<int>(&record - start)] = record.value;
    return true;
  });
  const Model wanted(model.lower_bound(static_cast<int>(first)),
                     model.lower_bound(static_cast<int>(last)));
  return seen == wanted && end == last;
}

/// Takes a random step in both and returns whether they still agree.
bool step(Slab<Record>* slab, Model* model, uint64_t count) {
  // Often few numbers, so that chunks become empty.
  const uint32_t range = slab->capacity() >> unit::upto(12);
  const auto fd = static_cast<int>(unit::upto(range - 1));
  if (model->count(fd) == 0) {
    if (slab->at(fd)->value != 0) return false;
    slab->occupy(fd)->value = count + 1;
    (*model)[fd] = count + 1;
  } else {
    if (slab->at(fd)->value != (*model)[fd]) return false;
    slab->release(fd);
    model->erase(fd);
  }
  if (unit::upto(50) == 0) slab->trim();
  const uint32_t end = slab->end();
  const bool is_end =
      model->empty() ? end == 0
                     : (end - 1) / kChunk == static_cast<uint32_t>(model->rbegin()->first) / kChunk;
  return is_end && slab->size() == model->size();
}

}  // namespace

TEST("a slab has the same records as a map, over random occupations, releases and trims") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(3 * kChunk))) return;
  Model model;
  for (uint64_t count = 0; count < 200'000; ++count) {
    if (!EXPECT(step(&slab, &model, count))) return;
    if (count % 2000 != 0) continue;
    const auto first = static_cast<uint32_t>(unit::upto(slab.capacity()));
    const auto last = first + static_cast<uint32_t>(unit::upto(slab.capacity() - first));
    if (!EXPECT(agrees(&slab, model, first, last))) return;
    if (!EXPECT(agrees(&slab, model, 0, slab.capacity()))) return;
  }
}

TEST("a slab rounds its capacity up to whole chunks") {
  for (const uint32_t wanted : {1U, kChunk - 1, kChunk, kChunk + 1}) {
    Slab<Record> slab;
    EXPECT(slab.map(wanted));
    EXPECT_EQUAL(slab.capacity(), wanted <= kChunk ? kChunk : 2 * kChunk);
    EXPECT_EQUAL(slab.size(), 0U);
  }
}

TEST("a record of a slab is zero after its release, and after the release of its chunk") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(1))) return;
  slab.occupy(7)->value = 1;
  slab.release(7);
  EXPECT_EQUAL(slab.at(7)->value, 0U);
  slab.trim();
  EXPECT_EQUAL(slab.at(7)->value, 0U);
}

TEST("a trim of a slab keeps a chunk that was filled again") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(1))) return;
  slab.occupy(1)->value = 1;
  slab.release(1);
  slab.occupy(2)->value = 2;
  slab.trim();
  EXPECT_EQUAL(slab.at(2)->value, 2U);
}

TEST("a visit of a slab skips empty chunks and may release the records that it visits") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(3 * kChunk))) return;
  for (uint32_t fd = 2 * kChunk; fd < 2 * kChunk + 10; ++fd) {
    slab.occupy(static_cast<int>(fd))->value = fd;
  }
  uint32_t visited = 0;
  const uint32_t end = slab.visit(0, slab.capacity(), [&](Record& record) {
    ++visited;
    if (record.value != 0) slab.release(static_cast<int>(record.value));
    return true;
  });
  EXPECT_EQUAL(visited, 10U);
  EXPECT_EQUAL(slab.size(), 0U);
  EXPECT_EQUAL(end, slab.capacity());
}

TEST("a visit of a slab ends when the visitor returns false") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(1))) return;
  slab.occupy(3)->value = 3;
  const auto stop_at_three = [](Record& record) { return record.value != 3; };
  EXPECT_EQUAL(slab.visit(0, kChunk, stop_at_three), 4U);
  EXPECT_EQUAL(slab.visit(4, kChunk, stop_at_three), kChunk);
}

TEST("a slab aborts on a descriptor out of range, a second release, and a second map") {
  Slab<Record> slab;
  if (!EXPECT(slab.map(1))) return;
  EXPECT(unit::aborts([&] { slab.occupy(-1); }));
  EXPECT(unit::aborts([&] { slab.occupy(static_cast<int>(kChunk)); }));
  EXPECT(unit::aborts([&] { slab.release(0); }));
  EXPECT(unit::aborts([&] { (void)slab.map(1); }));
  EXPECT(unit::aborts([&] { slab.visit(0, kChunk + 1, [](Record&) { return true; }); }));
}
