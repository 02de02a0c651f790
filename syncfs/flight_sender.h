#pragma once

#include "protocol/messages.pb.h"
#include "syncfs/blob_store.h"
#include "syncfs/flight.h"
#include "syncfs/flight_base.h"
#include "syncfs/peer_record.h"
#include "syncfs/signature_cache.h"
#include "syncfs/snapshot.h"
#include "syncfs/snapshot_table.h"
#include "syncfs/zstd_codec.h"

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace towline::syncfs {

/// What all flights to one agent share.
struct SenderContext {
  BlobStore& store;  // shadows
  PeerRecord& record;  // what the agent has
  SnapshotTable& snapshots;
  SignatureCache& signatures;
  StoreId agent{};
  int level = 6;  // of the flight's zstd stream and of deltas
};

/// The sending end of a flight: told the members of a tar one after the other, it
/// writes what the agent needs to make the same tar, given what it has. Which
/// form a content takes is decided here, fewest wire bytes first (docs/deltas.md).
///
/// Blocks (disk, compression, `out` when it is full), so it lives on a thread of
/// its own; that one thread calls everything. Every content is in the store, held
/// by a lease, until the sender goes: what the agent says it is missing can be sent.
class FlightSender {
 public:
  /// `out` takes the flight's bytes; it may block, and may throw to end it all.
  FlightSender(const SenderContext& context, ByteSink& out);
  ~FlightSender();

  /// The next member of the tar, its blob id set. `spool` is its content when it
  /// is a file, else nullptr; finished, not yet committed.
  void member(Member&& member, std::unique_ptr<BlobStore::Spool> spool);

  /// The tar is complete. Sends the snapshot and flushes.
  void finish(Snapshot::Tail tail, std::unique_ptr<BlobStore::Spool> rest);

  /// Sends whole what the agent lacks after all.
  void missing(const wire::Missing& what);
  /// A signature that was asked for, in parts.
  void signature(const wire::SignatureReply& part);
  /// The agent has a part, or all, on its disk: record it. After all, the store may evict.
  void acknowledged(const wire::Ack& ack);

  /// Makes what was sent so far arrive: ends the current compressed block.
  void flush();

  const FlightCounters& counters() const { return counters_; }

 private:
  struct Held {  // a file whose fate awaits the choice of the base
    std::size_t index;
    std::unique_ptr<BlobStore::Spool> spool;
  };
  struct Awaited {  // files that wait for the signature of their common old version
    wire::BaseRef base;
    std::vector<BlobId> targets;
    std::string signature;
  };

  void choose_base();
  void settle(std::size_t index, BlobStore::Spool* spool);
  void advance_same(std::size_t index);
  void confirm_same(bool now);
  bool agent_has(const BlobId& id);
  void send_new(std::size_t index, const BlobId& id, const ContentSource& content);
  bool send_against(std::size_t old_index, const BlobId& id, const ContentSource& content);
  void add_to_group(std::size_t old_index, const ContentSource& old, const BlobId& id,
                    const ContentSource& content);
  void flush_group();
  void send_whole(const BlobId& id, const ContentSource& content);
  void send_snapshot(const Snapshot* base);
  void complete();
  void make_room();
  bool is_ours(const BlobId& id);
  void send(const wire::FlightRecord& record);

  SenderContext context_;
  ByteSink& out_;
  ZstdEncoder encoder_;
  BlobStore::Lease lease_;

  std::vector<Member> members_;
  std::vector<Held> held_;
  std::uint64_t held_bytes_ = 0;
  bool base_chosen_ = false;
  std::unique_ptr<FlightBase> base_;

  std::size_t same_ = 0;  // members that equal the base's, from the first on
  bool still_same_ = true;
  std::size_t same_sent_ = 0;
  std::uint64_t same_bytes_ = 0;  // of members that are not yet confirmed

  std::unordered_set<BlobId> sent_;
  std::unordered_set<BlobId> ours_;  // of the finished snapshot; made when first needed
  std::vector<BlobId> new_blobs_;  // in the order their contents were sent
  std::vector<BlobId> group_ids_;
  std::size_t recorded_ = 0;  // of new_blobs_
  wire::GroupDelta group_;
  std::string group_old_, group_new_;
  std::unordered_map<BlobId, Awaited> awaited_;  // by the old version
  std::shared_ptr<const Snapshot> next_;
  FlightCounters counters_;
  std::string plain_, compressed_;
};

}  // namespace towline::syncfs
