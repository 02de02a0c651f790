#pragma once

#include "protocol/messages.pb.h"
#include "syncfs/blob_store.h"
#include "syncfs/flight.h"
#include "syncfs/peer_record.h"
#include "syncfs/snapshot.h"
#include "syncfs/snapshot_table.h"
#include "syncfs/whole_snapshots.h"
#include "syncfs/zstd_codec.h"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace towline::syncfs {

/// What all flights from one identity share.
struct ReceiverContext {
  BlobStore& store;
  PeerRecord& access;  // which identity may use which blob; keyed as by access_key()
  SnapshotTable& snapshots;
  WholeSnapshots& whole;
  std::string identity;
};

/// The key of an identity in the access record.
StoreId access_key(const std::string& identity);

/// What a flight says, as it becomes true on the agent's side. Called on the receiver's thread.
class FlightEvents {
 public:
  virtual ~FlightEvents() = default;
  /// The base is here and whole: `same` may be acted on.
  virtual void base(std::shared_ptr<const Snapshot> base) = 0;
  /// The first `members` members are those of the base.
  virtual void same(std::uint64_t members) = 0;
  /// The new snapshot and every content of it are in the store; acknowledge() follows.
  virtual void snapshot(std::shared_ptr<const Snapshot> snapshot) = 0;
  virtual void missing(const wire::Missing& what) = 0;
  virtual void signature(const wire::SignatureReply& part) = 0;
  /// A part of the flight is durable, or all of it.
  virtual void acknowledge(const wire::Ack& ack) = 0;
};

/// The receiving end of a flight. Bytes of the peer in, blobs in the store and
/// events out. Trusts nothing: whatever was rebuilt is checked against its
/// SHA-256, an identity reaches only blobs it sent before, sizes are bounded.
/// A delta that cannot be applied is no error: its target is then missing.
///
/// Blocks, so it lives on a thread of its own; that one thread calls everything.
class FlightReceiver {
 public:
  FlightReceiver(const ReceiverContext& context, FlightEvents& events);
  ~FlightReceiver();

  /// Throws Error when the peer breaks the format or the disk is full.
  void feed(Bytes flight);

  /// Deltas that did not come out as they should; for the statistics.
  std::uint64_t failed_deltas() const { return failed_deltas_; }

 private:
  class Records;
  struct Delta;

  void record(const wire::FlightRecord& record);
  void on_base(const wire::BaseSnapshot& base);
  void on_blob(const wire::BlobPart& part);
  void on_group(const wire::GroupDelta& group);
  void on_delta(const wire::DeltaPart& part);
  void begin_delta(const wire::DeltaPart& part);
  void end_delta(bool is_abandoned);
  void on_snapshot(const wire::SnapshotPart& part);
  void on_want_signature(const wire::BaseRef& ref);
  void on_complete();

  void keep(const BlobId& id, std::uint64_t size);
  void settle_part();
  void settle();
  bool may_use(const BlobId& id) const;
  bool is_present(const BlobId& id) const { return may_use(id) && context_.store.has(id); }
  std::optional<BlobId> resolve(const wire::BaseRef& ref) const;
  std::vector<BlobId> absent_blobs(const Snapshot& snapshot) const;

  ReceiverContext context_;
  FlightEvents& events_;
  const StoreId key_;
  ZstdDecoder decoder_;
  std::unique_ptr<Records> records_;
  BlobStore::Lease lease_;

  std::shared_ptr<const Snapshot> base_;
  std::uint64_t same_ = 0;
  bool base_whole_ = false;
  std::unique_ptr<BlobStore::Spool> blob_;
  std::unique_ptr<Delta> delta_;
  std::optional<SnapshotId> next_id_;
  bool next_with_base_ = false;
  std::string update_;
  bool snapshot_done_ = false;  // all parts of it have come
  std::shared_ptr<const Snapshot> next_;
  std::vector<BlobId> new_blobs_;
  std::unordered_set<BlobId> came_;
  std::uint64_t new_bytes_ = 0;
  std::size_t settled_ = 0;             // of new_blobs_
  std::uint64_t unsettled_bytes_ = 0;
  std::uint64_t failed_deltas_ = 0;
  int rounds_ = 0;
};

}  // namespace towline::syncfs
