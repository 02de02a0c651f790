#include "syncfs/flight_sender.h"

#include "protocol/log.h"
#include "protocol/message_stream.h"
#include "syncfs/delta_record.h"
#include "syncfs/rsync_delta.h"

#include <algorithm>

namespace towline::syncfs {
namespace {

/// The base is chosen after this many files or bytes: enough to tell contexts apart, little to hold.
constexpr std::size_t kHeldFilesMax = 64;
constexpr std::uint64_t kHeldBytesMax = 4 << 20;
constexpr std::size_t kCandidatesMax = 8;

/// Confirming members lets the agent feed the engine ahead. Each confirmation is a
/// packet, so there are at most eight or so, however large the context.
constexpr std::uint64_t kConfirmBytesMin = 2 << 20;
constexpr std::uint64_t kConfirmShare = 8;

std::uint64_t content_bytes(const Snapshot& snapshot) {
  std::uint64_t sum = 0;
  for (const Member& member : snapshot.members()) sum += member.entry.size;
  return sum;
}

std::string bytes_of(const BlobId& id) {
  return {reinterpret_cast<const char*>(id.bytes().data()), BlobId::kSize};
}

wire::BaseRef member_ref(std::size_t index) {
  wire::BaseRef ref;
  ref.set_member(index + 1);
  return ref;
}

Bytes as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

FlightSender::FlightSender(const SenderContext& context, ByteSink& out)
    : context_(context),
      out_(out),
      encoder_({.level = context.level, .window_log = kFlightWindowLog, .long_distance = true}),
      lease_(context.store) {}

FlightSender::~FlightSender() = default;

void FlightSender::member(Member&& member, std::unique_ptr<BlobStore::Spool> spool) {
  members_.push_back(std::move(member));
  const std::size_t index = members_.size() - 1;
  if (base_chosen_) {
    settle(index, spool.get());
    return;
  }
  const bool is_file = spool != nullptr;
  held_bytes_ += is_file ? members_[index].entry.size : 0;
  held_.push_back({index, std::move(spool)});
  if (held_.size() >= kHeldFilesMax || held_bytes_ >= kHeldBytesMax) choose_base();
}

void FlightSender::choose_base() {
  base_chosen_ = true;
  auto candidates = context_.snapshots.recent(kCandidatesMax, "");
  std::erase_if(candidates, [this](const auto& candidate) {
    return !context_.record.has_snapshot(context_.agent, candidate->id());
  });
  if (auto chosen = syncfs::choose_base(members_, candidates)) {
    base_ = std::make_unique<FlightBase>(std::move(chosen));
    wire::FlightRecord record;
    record.mutable_base()->set_id(bytes_of(base_->snapshot().id()));
    send(record);
  }
  for (const Held& held : held_) settle(held.index, held.spool.get());
  held_.clear();
}

/// Decides what becomes of a member now that its base is known.
void FlightSender::settle(std::size_t index, BlobStore::Spool* spool) {
  advance_same(index);
  if (!spool) return;
  const Entry& entry = members_[index].entry;
  const BlobId id = *entry.blob;
  ++counters_.files;
  counters_.content_bytes += entry.size;
  lease_.add(id);
  if (!context_.store.has(id)) spool->commit();  // the shadow, and what `missing` is served from
  if (still_same_ || sent_.contains(id) || agent_has(id)) {
    ++counters_.blobs_reused;
    return;
  }
  sent_.insert(id);
  send_new(index, id, spool->content());
}

void FlightSender::advance_same(std::size_t index) {
  if (!still_same_) return;
  still_same_ = base_ && index < base_->snapshot().members().size() &&
                members_[index] == base_->snapshot().members()[index];
  if (still_same_) {
    same_ = index + 1;
    same_bytes_ += members_[index].entry.size;
  }
  confirm_same(false);
}

void FlightSender::confirm_same(bool now) {
  if (!base_ || same_ == same_sent_) return;
  const std::uint64_t step =
      std::max(kConfirmBytesMin, content_bytes(base_->snapshot()) / kConfirmShare);
  if (!now && still_same_ && same_bytes_ < step) return;
  wire::FlightRecord record;
  record.mutable_same()->set_members(same_ - same_sent_);
  send(record);
  same_sent_ = same_;
  same_bytes_ = 0;
  flush();
}

bool FlightSender::agent_has(const BlobId& id) {
  return (base_ && base_->holds(id)) || context_.record.has(context_.agent, id);
}

void FlightSender::send_new(std::size_t index, const BlobId& id, const ContentSource& content) {
  const Entry& entry = members_[index].entry;
  if (base_ && entry.size > 0) {
    const auto old = base_->old_version(entry.path, entry.size);
    if (old && send_against(*old, id, content)) {
      ++counters_.blobs_delta;
      return;
    }
  }
  ++counters_.blobs_whole;
  send_whole(id, content);
}

/// False when the whole is the better choice.
bool FlightSender::send_against(std::size_t old_index, const BlobId& id,
                                const ContentSource& content) {
  const BlobId old_id = *base_->snapshot().members()[old_index].entry.blob;
  const DeltaTarget target{member_ref(old_index), bytes_of(id), content.size()};
  const auto emit = [this](const wire::FlightRecord& record) { send(record); };
  if (const auto old = context_.store.open_verified(old_id)) {
    if (content.size() > kGroupFileMax || old->size() > kGroupFileMax) {
      const bool is_sent = send_chunk_delta(target, content, *old, context_.level, emit);
      if (is_sent) new_blobs_.push_back(id);
      return is_sent;
    }
    add_to_group(old_index, *old, id, content);
    return true;
  }
  if (const auto signature = context_.signatures.find(old_id)) {
    const bool is_sent = send_rsync_delta(target, content, *signature, emit);
    if (is_sent) new_blobs_.push_back(id);
    return is_sent;
  }
  if (content.size() < kSignatureFileMin) return false;
  auto [awaited, is_first] = awaited_.try_emplace(old_id);
  awaited->second.targets.push_back(id);
  if (!is_first) return true;
  awaited->second.base = target.base;
  wire::FlightRecord record;
  wire::BaseRef& asked = *record.mutable_want_signature()->mutable_base();
  asked = target.base;
  asked.set_blob(bytes_of(old_id));  // the answer names it, even where the base is not known
  send(record);
  flush();  // the answer should be here before the rest has gone
  return true;
}

void FlightSender::add_to_group(std::size_t old_index, const ContentSource& old, const BlobId& id,
                                const ContentSource& content) {
  const bool full = group_old_.size() + old.size() > kGroupBytesMax ||
                    group_new_.size() + content.size() > kGroupBytesMax ||
                    static_cast<std::size_t>(group_.sizes_size()) >= kGroupFilesMax;
  if (full) flush_group();
  *group_.add_bases() = member_ref(old_index);
  group_.add_sizes(content.size());
  group_ids_.push_back(id);
  group_old_ += read_all(old, kGroupFileMax);
  group_new_ += read_all(content, kGroupFileMax);
}

void FlightSender::flush_group() {
  if (group_.sizes_size() == 0) return;
  group_.set_frame(
      zstd_with_prefix(as_bytes(group_new_), as_bytes(group_old_), group_level(group_new_.size())));
  wire::FlightRecord record;
  record.mutable_group()->Swap(&group_);
  send(record);
  new_blobs_.insert(new_blobs_.end(), group_ids_.begin(), group_ids_.end());
  group_ids_.clear();
  group_.Clear();
  group_old_.clear();
  group_new_.clear();
}

void FlightSender::send_whole(const BlobId& id, const ContentSource& content) {
  new_blobs_.push_back(id);
  for_each_part(content, [this](Bytes part, bool last) {
    wire::FlightRecord record;
    record.mutable_blob()->set_data(part.data(), part.size());
    record.mutable_blob()->set_last(last);
    send(record);
  });
}

void FlightSender::finish(Snapshot::Tail tail, std::unique_ptr<BlobStore::Spool> rest) {
  if (!base_chosen_) choose_base();
  if (rest) {
    const BlobId id = rest->finish();
    lease_.add(id);
    if (!context_.store.has(id)) rest->commit();
    if (!agent_has(id) && sent_.insert(id).second) send_whole(id, rest->content());
  }
  flush_group();
  next_ = Snapshot::make(std::move(members_), std::move(tail));
  send_snapshot(base_ ? &base_->snapshot() : nullptr);
  complete();
}

void FlightSender::complete() {
  if (awaited_.empty()) {
    wire::FlightRecord record;
    record.mutable_complete();
    send(record);
  }
  flush();
}

/// The agent may ask for this snapshot's blobs and for nothing else that the laptop has.
bool FlightSender::is_ours(const BlobId& id) {
  if (ours_.empty()) {
    for (const Member& member : next_->members()) {
      if (member.entry.blob) ours_.insert(*member.entry.blob);
    }
    if (next_->tail().rest) ours_.insert(*next_->tail().rest);
  }
  return ours_.contains(id);
}

void FlightSender::send_snapshot(const Snapshot* base) {
  const bool unchanged = base && base->id() == next_->id();
  const std::string update =
      unchanged ? std::string() : Snapshot::encode_update(base, *next_, kUpdateLevel);
  bool is_first = true;
  for_each_part(MemorySource(as_bytes(update)), [&](Bytes part, bool last) {
    wire::FlightRecord record;
    wire::SnapshotPart& snapshot = *record.mutable_snapshot();
    if (is_first) {
      snapshot.set_id(bytes_of(next_->id()));
      snapshot.set_with_base(base != nullptr);
    }
    is_first = false;
    snapshot.set_data(part.data(), part.size());
    snapshot.set_last(last);
    send(record);
  });
}

void FlightSender::missing(const wire::Missing& what) {
  if (!next_) throw Error(Errc::malformed, "agent misses blobs of a snapshot it has not seen");
  for (const std::string& raw : what.blobs()) {
    const auto id = BlobId::from_bytes(std::as_bytes(std::span(raw)));
    if (!id) throw Error(id.error(), "agent misses a blob with a bad id");
    if (!is_ours(*id)) throw Error(Errc::denied, "send blob " + id->hex() + ": not of this build");
    const auto content = context_.store.open_verified(*id);
    if (!content) throw Error(Errc::corrupt, "send blob " + id->hex() + " again from the store");
    ++counters_.resent;
    send_whole(*id, *content);
  }
  if (what.snapshot()) {
    if (base_) context_.record.remove_snapshot(context_.agent, base_->snapshot().id());
    send_snapshot(nullptr);
  }
  complete();
}

void FlightSender::signature(const wire::SignatureReply& part) {
  const auto old_id = BlobId::from_bytes(std::as_bytes(std::span(part.blob())));
  const auto found = old_id ? awaited_.find(*old_id) : awaited_.end();
  if (found == awaited_.end()) throw Error(Errc::malformed, "agent sent a signature nobody asked for");
  Awaited& awaited = found->second;
  if (awaited.signature.size() + part.part().size() > kSignatureBytesMax) {
    throw Error(Errc::too_large, "agent sent too large a signature");
  }
  awaited.signature += part.part();
  if (!part.last() && !part.absent()) return;
  const auto emit = [this](const wire::FlightRecord& record) { send(record); };
  for (const BlobId& id : awaited.targets) {
    const auto content = context_.store.open_verified(id);
    if (!content) throw Error(Errc::corrupt, "read blob " + id.hex() + " again from the store");
    const DeltaTarget target{awaited.base, bytes_of(id), content->size()};
    if (!part.absent() && send_rsync_delta(target, *content, awaited.signature, emit)) {
      new_blobs_.push_back(id);
    } else {
      send_whole(id, *content);
    }
  }
  if (!part.absent()) context_.signatures.put(*old_id, awaited.signature);
  awaited_.erase(found);
  if (next_) {
    complete();
  } else {
    flush();
  }
}

void FlightSender::acknowledged(const wire::Ack& ack) {
  const bool is_all = !ack.snapshot().empty();
  if (is_all && (!next_ || ack.snapshot() != bytes_of(next_->id()))) {
    throw Error(Errc::malformed, "agent acknowledged a snapshot it was not sent");
  }
  const std::size_t kept = is_all ? new_blobs_.size() : ack.kept();
  if (kept > new_blobs_.size()) {
    throw Error(Errc::malformed, "agent acknowledged contents it was not sent");
  }
  context_.store.flush();
  if (kept > recorded_) {
    context_.record.add(context_.agent, std::span(new_blobs_).subspan(recorded_, kept - recorded_));
    recorded_ = kept;
  }
  if (!is_all) return;
  context_.snapshots.put(*next_, "");
  context_.store.flush();
  context_.record.add_snapshot(context_.agent, next_->id());
  make_room();
}

/// Evicts shadows over the budget; large ones leave their signature behind.
void FlightSender::make_room() {
  context_.store.evict([this](const BlobId& id, const ContentSource& content) {
    if (content.size() < kSignatureFileMin || content.size() > kSignatureContentMax) return;
    std::string signature;
    StringSink sink(signature);
    rsync_signature(content, sink);
    context_.signatures.put(id, signature);
  });
}

void FlightSender::send(const wire::FlightRecord& record) {
  plain_.clear();
  append_message(record, plain_);
  encoder_.write(as_bytes(plain_), compressed_);
  if (compressed_.size() < kFlightPartMax) return;
  counters_.wire_bytes += compressed_.size();
  out_.write(as_bytes(compressed_));
  compressed_.clear();
}

void FlightSender::flush() {
  encoder_.flush(compressed_);
  counters_.wire_bytes += compressed_.size();
  out_.write(as_bytes(compressed_));
  compressed_.clear();
}

}  // namespace towline::syncfs
