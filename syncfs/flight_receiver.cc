#include "syncfs/flight_receiver.h"

#include "protocol/error.h"
#include "protocol/log.h"
#include "syncfs/chunk_delta.h"
#include "syncfs/delta_record.h"
#include "syncfs/record_reader.h"
#include "syncfs/rsync_delta.h"
#include "syncfs/sha256.h"

#include <algorithm>
#include <cstring>

namespace towline::syncfs {
namespace {

Bytes as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string bytes_of(const BlobId& id) {
  return {reinterpret_cast<const char*>(id.bytes().data()), BlobId::kSize};
}

/// New content after which a part of a flight is made durable: what a lost link costs at most.
constexpr std::uint64_t kSettleBytes = 8 << 20;

/// Times that the same flight may be asked for what it lacks. One is common after an eviction.
constexpr int kRoundsMax = 4;

BlobId id_of(const std::string& raw, const char* what) {
  const auto id = BlobId::from_bytes(as_bytes(raw));
  if (!id) throw Error(id.error(), what);
  return *id;
}

}  // namespace

StoreId access_key(const std::string& identity) {
  const BlobId digest = blob_id_of(as_bytes(identity));
  StoreId key;
  std::copy_n(digest.bytes().begin(), key.size(), key.begin());
  return key;
}

/// Hands decompressed bytes on, record by record.
class FlightReceiver::Records final : public ByteSink {
 public:
  explicit Records(FlightReceiver& owner) : owner_(owner) {}
  void write(Bytes bytes) override {
    reader_.feed(bytes);
    while (reader_.next(record_)) owner_.record(record_);
  }

 private:
  FlightReceiver& owner_;
  RecordReader reader_;
  wire::FlightRecord record_;
};

/// A delta whose parts are coming in. One that cannot be applied is read to its end all the same.
struct FlightReceiver::Delta {
  BlobId target;
  std::unique_ptr<ContentSource> base;
  std::unique_ptr<BlobStore::Spool> spool;
  std::unique_ptr<ChunkDeltaDecoder> chunks;
  std::unique_ptr<RsyncPatch> rsync;
  bool failed = false;

  void feed(Bytes data) {
    if (failed) return;
    const Result<void> fed = chunks ? chunks->feed(data) : rsync->feed(data);
    failed = !fed;
  }
  bool finish() {
    if (failed) return false;
    const Result<void> done = chunks ? chunks->finish() : rsync->finish();
    return done && spool->finish() == target;
  }
};

FlightReceiver::FlightReceiver(const ReceiverContext& context, FlightEvents& events)
    : context_(context),
      events_(events),
      key_(access_key(context.identity)),
      decoder_(kFlightWindowLog),
      records_(std::make_unique<Records>(*this)),
      lease_(context.store) {}

FlightReceiver::~FlightReceiver() = default;

void FlightReceiver::feed(Bytes flight) {
  const Result<void> fed = decoder_.feed(flight, *records_);
  if (!fed) throw Error(fed.error(), "read flight: not a zstd stream");
  settle_part();
}

void FlightReceiver::record(const wire::FlightRecord& record) {
  switch (record.kind_case()) {
    case wire::FlightRecord::kBase:
      return on_base(record.base());
    case wire::FlightRecord::kSame:
      same_ += record.same().members();
      if (base_whole_ && same_ <= base_->members().size()) events_.same(same_);
      return;
    case wire::FlightRecord::kBlob:
      return on_blob(record.blob());
    case wire::FlightRecord::kGroup:
      return on_group(record.group());
    case wire::FlightRecord::kDelta:
      return on_delta(record.delta());
    case wire::FlightRecord::kSnapshot:
      return on_snapshot(record.snapshot());
    case wire::FlightRecord::kWantSignature:
      return on_want_signature(record.want_signature().base());
    case wire::FlightRecord::kComplete:
      return on_complete();
    case wire::FlightRecord::KIND_NOT_SET:
      break;
  }
  throw Error(Errc::malformed, "read flight: a record of no kind");
}

void FlightReceiver::on_base(const wire::BaseSnapshot& base) {
  if (base_) throw Error(Errc::malformed, "read flight: a second base");
  base_ = context_.snapshots.load(id_of(base.id(), "read flight: base"), context_.identity);
  if (!base_) return;  // said with on_complete
  for (const Member& member : base_->members()) {
    if (member.entry.blob) lease_.add(*member.entry.blob);
  }
  base_whole_ = context_.whole.is_whole(*base_, key_, context_.store) || absent_blobs(*base_).empty();
  if (base_whole_) events_.base(base_);
}

void FlightReceiver::on_blob(const wire::BlobPart& part) {
  if (!blob_) blob_ = std::make_unique<BlobStore::Spool>(context_.store);
  blob_->write(as_bytes(part.data()));
  if (!part.last()) return;
  const BlobId id = blob_->finish();
  const std::uint64_t size = blob_->content().size();
  lease_.add(id);
  blob_->commit();
  blob_.reset();
  keep(id, size);
}

void FlightReceiver::on_group(const wire::GroupDelta& group) {
  if (group.bases_size() != group.sizes_size()) {
    throw Error(Errc::malformed, "read flight: a group of unlike lengths");
  }
  std::string prefix;
  bool is_whole = true;
  for (const wire::BaseRef& ref : group.bases()) {
    const auto id = resolve(ref);
    const auto old = id ? context_.store.open_verified(*id) : nullptr;
    is_whole = is_whole && old;
    if (!is_whole) break;
    if (old->size() > kGroupBytesMax || prefix.size() > 2 * kGroupBytesMax) {
      throw Error(Errc::too_large, "read flight: a group's old contents");
    }
    prefix += read_all(*old, kGroupBytesMax);
  }
  std::uint64_t total = 0;
  for (const std::uint64_t size : group.sizes()) {
    total += std::min(size, kGroupBytesMax + 1);
    if (total > 2 * kGroupBytesMax) throw Error(Errc::too_large, "read flight: a group's contents");
  }
  const auto contents = is_whole
                            ? unzstd_with_prefix(as_bytes(group.frame()), as_bytes(prefix), total)
                            : Result<std::string>(Errc::not_found);
  if (!contents) {
    failed_deltas_ += static_cast<std::uint64_t>(group.sizes_size());
    return;
  }
  Bytes rest = as_bytes(*contents);
  for (const std::uint64_t size : group.sizes()) {
    const BlobId id = context_.store.put(rest.first(size));
    lease_.add(id);
    keep(id, size);
    rest = rest.subspan(size);
  }
}

void FlightReceiver::on_delta(const wire::DeltaPart& part) {
  if (!delta_) begin_delta(part);
  delta_->feed(as_bytes(part.data()));
  if (part.last()) end_delta(part.abandoned());
}

void FlightReceiver::begin_delta(const wire::DeltaPart& part) {
  auto delta =
      std::make_unique<Delta>(Delta{.target = id_of(part.target(), "read flight: a delta's target"),
                                    .base = nullptr,
                                    .spool = std::make_unique<BlobStore::Spool>(context_.store),
                                    .chunks = nullptr,
                                    .rsync = nullptr});
  const auto base = resolve(part.base());
  if (base) delta->base = context_.store.open_verified(*base);
  delta->failed = !delta->base;
  if (delta->base && part.scheme() == wire::DeltaPart::CHUNKS) {
    delta->chunks =
        std::make_unique<ChunkDeltaDecoder>(*delta->base, part.size(), *delta->spool);
  } else if (delta->base && part.scheme() == wire::DeltaPart::RSYNC) {
    delta->rsync = std::make_unique<RsyncPatch>(*delta->base, part.size(), *delta->spool);
  } else {
    delta->failed = true;
  }
  delta_ = std::move(delta);
}

void FlightReceiver::end_delta(bool is_abandoned) {
  const std::unique_ptr<Delta> delta = std::move(delta_);
  if (is_abandoned) return;
  if (!delta->finish()) {
    ++failed_deltas_;
    log::warn("delta for blob {} did not apply: asking for the whole", delta->target.hex());
    return;
  }
  lease_.add(delta->target);
  delta->spool->commit();
  keep(delta->target, delta->spool->content().size());
}

void FlightReceiver::on_snapshot(const wire::SnapshotPart& part) {
  if (!next_id_ || snapshot_done_) {
    next_id_ = id_of(part.id(), "read flight: snapshot");
    next_with_base_ = part.with_base();
    update_.clear();
    snapshot_done_ = false;
    next_.reset();
  }
  if (update_.size() + part.data().size() > kSnapshotBytesMax) {
    throw Error(Errc::too_large, "read flight: snapshot");
  }
  update_ += part.data();
  snapshot_done_ = part.last();
}

void FlightReceiver::on_want_signature(const wire::BaseRef& ref) {
  const auto id = resolve(ref);
  const auto content = id ? context_.store.open_verified(*id) : nullptr;
  wire::SignatureReply reply;
  reply.set_blob(ref.blob());
  if (!content) {
    reply.set_absent(true);
    events_.signature(reply);
    return;
  }
  std::string signature;
  StringSink sink(signature);
  rsync_signature(*content, sink);
  for_each_part(MemorySource(as_bytes(signature)), [&](Bytes part, bool last) {
    reply.set_part(part.data(), part.size());
    reply.set_last(last);
    events_.signature(reply);
  });
}

void FlightReceiver::on_complete() {
  if (!next_id_ || !snapshot_done_ || blob_ || delta_) {
    throw Error(Errc::malformed, "read flight: complete without a snapshot");
  }
  wire::Missing missing;
  if (!next_) {
    if (base_ && update_.empty() && base_->id() == *next_id_) {
      next_ = base_;
    } else if (!next_with_base_ || base_) {
      auto applied = Snapshot::apply_update(next_with_base_ ? base_.get() : nullptr,
                                            as_bytes(update_), *next_id_, kSnapshotBytesMax);
      if (!applied) throw Error(applied.error(), "read flight: snapshot " + next_id_->hex());
      next_ = std::move(*applied);
    }
    update_.clear();
  }
  if (!next_) {
    missing.set_snapshot(true);
    next_id_.reset();
  } else {
    const bool is_base_again = next_ == base_ && base_whole_;
    if (!is_base_again) {
      for (const BlobId& id : absent_blobs(*next_)) missing.add_blobs(bytes_of(id));
    }
  }
  if (missing.snapshot() || missing.blobs_size() > 0) {
    if (++rounds_ > kRoundsMax) {
      throw Error(Errc::corrupt, "store the build's context: blobs do not stay (check the agent's disk)");
    }
    events_.missing(missing);
  } else {
    events_.snapshot(next_);
    settle();
  }
}

/// What has come stays, even if the link does not. The sender counts contents in the order it sent
/// them, so after a delta that failed there is no telling it more.
void FlightReceiver::settle_part() {
  if (unsettled_bytes_ < kSettleBytes || failed_deltas_ > 0) return;
  context_.store.flush();
  context_.access.add(key_, std::span(new_blobs_).subspan(settled_));
  settled_ = new_blobs_.size();
  unsettled_bytes_ = 0;
  wire::Ack ack;
  ack.set_kept(settled_);
  events_.acknowledge(ack);
}

void FlightReceiver::settle() {
  context_.snapshots.put(*next_, context_.identity);
  context_.store.flush();
  context_.access.add(key_, std::span(new_blobs_).subspan(settled_));
  settled_ = new_blobs_.size();
  unsettled_bytes_ = 0;
  context_.whole.add(*next_, key_, context_.store);
  wire::Ack ack;
  ack.set_snapshot(bytes_of(next_->id()));
  ack.set_new_blobs(new_blobs_.size());
  ack.set_new_bytes(new_bytes_);
  events_.acknowledge(ack);
  context_.store.evict();
}

void FlightReceiver::keep(const BlobId& id, std::uint64_t size) {
  new_blobs_.push_back(id);
  came_.insert(id);
  new_bytes_ += size;
  unsettled_bytes_ += size;
}

bool FlightReceiver::may_use(const BlobId& id) const {
  return came_.contains(id) || context_.access.has(key_, id);
}

std::optional<BlobId> FlightReceiver::resolve(const wire::BaseRef& ref) const {
  std::optional<BlobId> id;
  if (ref.member() > 0) {
    const bool is_there = base_ && ref.member() <= base_->members().size();
    if (is_there) id = base_->members()[ref.member() - 1].entry.blob;
  } else {
    id = id_of(ref.blob(), "read flight: a base's id");
  }
  return id && may_use(*id) ? id : std::nullopt;
}

std::vector<BlobId> FlightReceiver::absent_blobs(const Snapshot& snapshot) const {
  std::vector<BlobId> absent;
  std::unordered_set<BlobId> seen;
  const auto look = [&](const BlobId& id) {
    if (seen.insert(id).second && !is_present(id)) absent.push_back(id);
  };
  for (const Member& member : snapshot.members()) {
    if (member.entry.blob) look(*member.entry.blob);
  }
  if (snapshot.tail().rest) look(*snapshot.tail().rest);
  return absent;
}

}  // namespace towline::syncfs
