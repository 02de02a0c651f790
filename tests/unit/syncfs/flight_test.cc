#include "protocol/message_stream.h"
#include "syncfs/flight_receiver.h"
#include "syncfs/flight_sender.h"
#include "syncfs/tar_flight.h"
#include "syncfs/tar_source.h"
#include "tests/support/context_writer.h"
#include "tests/unit/syncfs/store_testing.h"

#include <gtest/gtest.h>

#include <deque>

namespace towline::syncfs {
namespace {

using test::ContextWriter;

/// One side's stores and tables.
struct Side {
  explicit Side(std::uint64_t budget = 20ull << 30)
      : store({.dir = dir / "store", .budget_bytes = budget}),
        record(dir / "record.db"),
        snapshots(store, dir / "snapshots.db"),
        signatures(dir / "signatures.db") {}

  ScratchDir dir;
  BlobStore store;
  PeerRecord record;
  SnapshotTable snapshots;
  SignatureCache signatures;
  WholeSnapshots whole;
};

/// What one flight came to.
struct Outcome {
  std::string tar;  // as the agent makes it
  std::size_t wire_bytes = 0;
  std::uint64_t same = 0;  // members confirmed ahead
  int rounds = 0;          // of missing
  bool acknowledged = false;
  FlightCounters counters;
  std::vector<std::uint64_t> kept;  // partial acknowledgements
  std::uint64_t failed_deltas = 0;
};

/// Both ends of a flight, joined by strings.
class Flight final : private FlightEvents, private ByteSink {
 public:
  Flight(Side& proxy, Side& agent, const std::string& identity = "uid:1000")
      : agent_(agent),
        sender_({.store = proxy.store,
                 .record = proxy.record,
                 .snapshots = proxy.snapshots,
                 .signatures = proxy.signatures,
                 .agent = agent.store.id(),
                 .level = 3},
                *this),
        receiver_({.store = agent.store,
                   .access = agent.record,
                   .snapshots = agent.snapshots,
                   .whole = agent.whole,
                   .identity = identity},
                  *this),
        tar_(proxy.store, sender_) {}

  Outcome send(const std::string& tar, std::size_t piece = 100'000) {
    for (std::size_t at = 0; at < tar.size(); at += piece) {
      tar_.feed(bytes_of(tar.substr(at, piece)));
      answer_all();
    }
    tar_.finish();
    answer_all();
    outcome_.counters = sender_.counters();
    outcome_.failed_deltas = receiver_.failed_deltas();
    if (snapshot_) outcome_.tar = make_tar();
    return outcome_;
  }

  /// Sends a part only, as when the link or the client goes.
  void send_part(const std::string& part) {
    tar_.feed(bytes_of(part));
    sender_.flush();
    answer_all();
  }
  const Outcome& outcome() const { return outcome_; }

 private:
  void write(Bytes bytes) override {
    outcome_.wire_bytes += bytes.size();
    wire_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }

  void answer_all() {
    while (!wire_.empty() || !answers_.empty()) {
      std::string wire;
      wire.swap(wire_);
      receiver_.feed(bytes_of(wire));
      if (answers_.empty()) continue;
      const wire::BuildDown answer = answers_.front();
      answers_.pop_front();
      if (answer.has_missing()) sender_.missing(answer.missing());
      if (answer.has_signature()) sender_.signature(answer.signature());
      if (answer.has_ack()) sender_.acknowledged(answer.ack());
    }
  }

  void base(std::shared_ptr<const Snapshot>) override {}
  void same(std::uint64_t members) override { outcome_.same = members; }
  void snapshot(std::shared_ptr<const Snapshot> snapshot) override {
    snapshot_ = std::move(snapshot);
  }
  void missing(const wire::Missing& what) override {
    ++outcome_.rounds;
    *answers_.emplace_back().mutable_missing() = what;
  }
  void signature(const wire::SignatureReply& part) override {
    *answers_.emplace_back().mutable_signature() = part;
  }
  void acknowledge(const wire::Ack& ack) override {
    if (ack.snapshot().empty()) outcome_.kept.push_back(ack.kept());
    outcome_.acknowledged = !ack.snapshot().empty();
    *answers_.emplace_back().mutable_ack() = ack;
  }

  std::string make_tar() {
    TarSource source(snapshot_,
                     [this](const BlobId& id) { return agent_.store.open_verified(id); });
    std::string tar, piece(70'000, '\0');
    for (;;) {
      const std::size_t n = source.read(std::as_writable_bytes(std::span(piece)));
      if (n == 0) return tar;
      tar.append(piece, 0, n);
    }
  }

  Side& agent_;
  FlightSender sender_;
  FlightReceiver receiver_;
  TarFlight tar_;
  std::string wire_;
  std::deque<wire::BuildDown> answers_;
  std::shared_ptr<const Snapshot> snapshot_;
  Outcome outcome_;
};

Outcome fly(Side& proxy, Side& agent, const std::string& tar) {
  return Flight(proxy, agent).send(tar);
}

std::string words(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < size) text += "word" + std::to_string(random() % 5000) + (random() % 9 ? " " : "\n");
  text.resize(size);
  return text;
}

ContextWriter some_context(std::size_t files = 200) {
  ContextWriter context;
  for (std::size_t i = 0; i < files; ++i) {
    context.files["src/dir" + std::to_string(i % 10) + "/file" + std::to_string(i) + ".c"] =
        words(i, 3000 + i * 7);
  }
  return context;
}

TEST(FlightTest, ColdContextArrivesWhole) {
  Side proxy, agent;
  const std::string tar = some_context().tar();
  const Outcome outcome = fly(proxy, agent, tar);
  EXPECT_EQ(outcome.tar, tar);
  EXPECT_TRUE(outcome.acknowledged);
  EXPECT_EQ(outcome.counters.blobs_whole, 200u);
  EXPECT_LT(outcome.wire_bytes, tar.size() / 2);
}

TEST(FlightTest, UnchangedContextCostsNextToNothingAndIsConfirmedAhead) {
  Side proxy, agent;
  const std::string tar = some_context(2000).tar();
  fly(proxy, agent, tar);
  const Outcome again = fly(proxy, agent, tar);
  EXPECT_EQ(again.tar, tar);
  EXPECT_LT(again.wire_bytes, 600u);
  EXPECT_GT(again.same, 100u);
  EXPECT_EQ(again.counters.blobs_whole, 0u);
  EXPECT_EQ(again.rounds, 0);
}

TEST(FlightTest, OneEditedLineCostsAFewHundredBytes) {
  Side proxy, agent;
  ContextWriter context = some_context();
  fly(proxy, agent, context.tar());
  context.files["src/dir3/file33.c"].insert(1000, "an inserted line\n");
  context.mtimes["src/dir3/file33.c"] = context.mtime + 60;
  const Outcome edited = fly(proxy, agent, context.tar());
  EXPECT_EQ(edited.tar, context.tar());
  EXPECT_EQ(edited.counters.blobs_delta, 1u);
  EXPECT_LT(edited.wire_bytes, 1500u);
}

TEST(FlightTest, TouchingEveryFileSendsTimesOnly) {
  Side proxy, agent;
  ContextWriter context = some_context(1000);
  fly(proxy, agent, context.tar());
  std::int64_t late = context.mtime + 1000;
  for (const auto& [path, content] : context.files) context.mtimes[path] = late++;
  const Outcome touched = fly(proxy, agent, context.tar());
  EXPECT_EQ(touched.tar, context.tar());
  EXPECT_EQ(touched.counters.blobs_reused, 1000u);
  EXPECT_LT(touched.wire_bytes, 8u * 1000);
}

TEST(FlightTest, RenamedDirectorySendsNoContent) {
  Side proxy, agent;
  ContextWriter context;
  for (int i = 0; i < 700; ++i) context.files["old/f" + std::to_string(i)] = words(i, 2000);
  context.files["a"] = words(7000, 500);
  fly(proxy, agent, context.tar());
  ContextWriter renamed;
  for (auto& [path, content] : context.files) {
    renamed.files[path.starts_with("old/") ? "new/" + path.substr(4) : path] = content;
  }
  const Outcome outcome = fly(proxy, agent, renamed.tar());
  EXPECT_EQ(outcome.tar, renamed.tar());
  EXPECT_EQ(outcome.counters.blobs_whole + outcome.counters.blobs_delta, 0u);
  EXPECT_LT(outcome.wire_bytes, 4096u);
}

TEST(FlightTest, LargeFileWithAShadowCostsByTheChange) {
  Side proxy, agent;
  ContextWriter context;
  context.files["model.bin"] = noise(1, 12 << 20);
  fly(proxy, agent, context.tar());
  context.files["model.bin"].insert(5'000'000, "x");
  const Outcome outcome = fly(proxy, agent, context.tar());
  EXPECT_EQ(outcome.tar, context.tar());
  EXPECT_EQ(outcome.counters.blobs_delta, 1u);
  EXPECT_LT(outcome.wire_bytes, 2000u);
}

TEST(FlightTest, EvictedShadowLeavesASignatureThatStillSavesTheBytes) {
  Side proxy(1 << 20), agent;  // the proxy's store holds no such file for long
  ContextWriter context;
  context.files["model.bin"] = noise(2, 6 << 20);
  fly(proxy, agent, context.tar());
  const BlobId id = blob_id_of(bytes_of(context.files["model.bin"]));
  ASSERT_FALSE(proxy.store.has(id));
  ASSERT_TRUE(proxy.signatures.find(id).has_value());
  context.files["model.bin"][3'000'000] ^= 1;
  const Outcome outcome = fly(proxy, agent, context.tar());
  EXPECT_EQ(outcome.tar, context.tar());
  EXPECT_EQ(outcome.counters.blobs_delta, 1u);
  EXPECT_LT(outcome.wire_bytes, 32u << 10);
}

TEST(FlightTest, WithoutShadowAndSignatureTheSignatureIsFetched) {
  Side proxy, agent;
  ContextWriter context;
  context.files["model.bin"] = noise(3, 6 << 20);
  fly(proxy, agent, context.tar());
  // The laptop's store was wiped of its contents but its records stayed.
  Side fresh;
  const auto snapshot = proxy.snapshots.recent(1, "").at(0);
  fresh.snapshots.put(*snapshot, "");
  fresh.record.add_snapshot(agent.store.id(), snapshot->id());
  context.files["model.bin"][3'000'000] ^= 1;
  const Outcome outcome = fly(fresh, agent, context.tar());
  EXPECT_EQ(outcome.tar, context.tar());
  EXPECT_EQ(outcome.counters.blobs_delta, 1u);
  EXPECT_LT(outcome.wire_bytes, 64u << 10);
  EXPECT_EQ(outcome.rounds, 0) << "the agent must not call missing what is still to come";
}

TEST(FlightTest, WrongRecordIsMendedByMissing) {
  Side proxy, agent, other;
  const std::string tar = some_context().tar();
  fly(proxy, agent, tar);
  // The record says that `other` has it all as well.
  for (const auto& snapshot : proxy.snapshots.recent(1, "")) {
    proxy.record.add_snapshot(other.store.id(), snapshot->id());
  }
  const Outcome outcome = fly(proxy, other, tar);
  EXPECT_EQ(outcome.tar, tar);
  EXPECT_EQ(outcome.rounds, 2) << "first the snapshot, then its blobs";
  EXPECT_EQ(outcome.counters.resent, 200u);
  EXPECT_TRUE(outcome.acknowledged);
}

TEST(FlightTest, CorruptBaseAtTheAgentIsNoticedAndReplaced) {
  Side proxy, agent;
  ContextWriter context = some_context(20);
  fly(proxy, agent, context.tar());
  corrupt_packs(agent.dir / "store");
  context.files["src/dir3/file13.c"] += "more\n";
  const Outcome outcome = fly(proxy, agent, context.tar());
  EXPECT_GE(outcome.failed_deltas, 1u);
  EXPECT_GE(outcome.rounds, 1);
  EXPECT_TRUE(outcome.acknowledged);
}

TEST(FlightTest, OneIdentityCannotUseTheBlobsOfAnother) {
  Side mine, theirs, agent;
  const std::string tar = some_context(50).tar();
  Flight(mine, agent, "uid:1").send(tar);
  // A laptop that claims, by record and base, what it never sent.
  for (const auto& snapshot : mine.snapshots.recent(1, "")) {
    theirs.snapshots.put(*snapshot, "");
    theirs.record.add_snapshot(agent.store.id(), snapshot->id());
  }
  const Outcome outcome = Flight(theirs, agent, "uid:2").send(tar);
  EXPECT_EQ(outcome.same, 0u);
  EXPECT_GE(outcome.rounds, 1) << "the agent asked for contents rather than using the other's";
  EXPECT_EQ(outcome.tar, tar);
}

TEST(FlightTest, InterruptedUploadGoesOnFromWhatWasAcknowledged) {
  Side proxy, agent;
  ContextWriter context;
  for (int i = 0; i < 30; ++i) context.files["f" + std::to_string(100 + i)] = noise(i, 1'000'000);
  const std::string tar = context.tar();
  {
    Flight cut(proxy, agent);
    cut.send_part(tar.substr(0, tar.size() * 3 / 4));
    ASSERT_FALSE(cut.outcome().kept.empty());
  }
  const Outcome rest = fly(proxy, agent, tar);
  EXPECT_EQ(rest.tar, tar);
  EXPECT_LT(rest.wire_bytes, tar.size() / 2);
}

TEST(FlightTest, EverySplitOfTheBodyGivesTheSameTar) {
  const std::string tar = some_context(5).tar();
  for (const std::size_t piece : {1u, 7u, 511u, 512u, 513u, 4096u}) {
    SCOPED_TRACE(piece);
    Side proxy, agent;
    EXPECT_EQ(Flight(proxy, agent).send(tar, piece).tar, tar);
  }
}

TEST(FlightTest, TarThatIsCutOffOrEndsOddlyArrivesAsItIs) {
  ContextWriter context = some_context(5);
  const std::string tar = context.tar();
  struct Case {
    std::string body;
    const char* why;
  };
  const Case cases[] = {
      {tar.substr(0, tar.size() - 1024), "no end blocks"},
      {tar.substr(0, tar.size() - 1024 - 900), "cut off in the last file"},
      {tar.substr(0, 700), "cut off in the second header"},
      {tar + std::string(10240, '\0'), "padded to a record"},
      {tar + "garbage after the end", "a tail that is not zeros"},
      {tar.substr(0, 2048) + std::string(512, 'x') + tar.substr(2560), "a broken header"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    Side proxy, agent;
    EXPECT_EQ(fly(proxy, agent, c.body).tar, c.body);
  }
}

TEST(FlightTest, HostileFlightBytesAreAnErrorAndNoMore) {
  Side agent;
  struct Events final : FlightEvents {
    void base(std::shared_ptr<const Snapshot>) override {}
    void same(std::uint64_t) override {}
    void snapshot(std::shared_ptr<const Snapshot>) override { FAIL(); }
    void missing(const wire::Missing&) override {}
    void signature(const wire::SignatureReply&) override {}
    void acknowledge(const wire::Ack&) override {}
  };
  struct Case {
    wire::FlightRecord record;
    const char* why;
  };
  std::vector<Case> cases(4);
  cases[0].record.mutable_complete();
  cases[0].why = "complete without a snapshot";
  cases[1].record.mutable_base()->set_id("short");
  cases[1].why = "an id of the wrong size";
  cases[2].record.mutable_group()->add_sizes(1ull << 60);
  cases[2].why = "a group of unlike lengths";
  cases[3].why = "a record of no kind";
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    Events events;
    FlightReceiver receiver({.store = agent.store,
                             .access = agent.record,
                             .snapshots = agent.snapshots,
                             .whole = agent.whole,
                             .identity = "uid:1"},
                            events);
    std::string plain, packed;
    append_message(c.record, plain);
    ZstdEncoder encoder({});
    encoder.write(bytes_of(plain), packed);
    encoder.flush(packed);
    EXPECT_THROW(receiver.feed(bytes_of(packed)), Error);
  }
}

}  // namespace
}  // namespace towline::syncfs
