#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/decompress.h"
#include "syncfs/flight_sender.h"
#include "syncfs/tar_splitter.h"

#include <memory>
#include <optional>

namespace towline::syncfs {

/// A tar body, perhaps compressed, that streams in, as a source for a flight.
/// Lives on the sender's thread.
class TarFlight final : private TarSplitter::Events, private ByteSink {
 public:
  TarFlight(BlobStore& store, FlightSender& sender);
  ~TarFlight() override;

  /// Throws Errc::malformed when a compressed body is corrupt.
  void feed(Bytes body);
  void finish();

  /// Whether the body is a tar: unknown until its first block has come.
  std::optional<bool> is_tar() const { return is_tar_; }

 private:
  void member(Member&& member) override;
  void content(Bytes bytes) override;
  void member_end() override;
  void member_torn(Bytes raw_header) override;
  void tail(Bytes bytes) override;
  void write(Bytes bytes) override;  // what the decompressor gives

  BlobStore& store_;
  FlightSender& sender_;
  TarSplitter splitter_;
  BodyDecompressor body_;
  std::optional<bool> is_tar_;
  std::optional<Member> file_;  // whose content is streaming in
  std::unique_ptr<BlobStore::Spool> spool_;
  Snapshot::Tail tail_;
  std::unique_ptr<BlobStore::Spool> rest_;
};

}  // namespace towline::syncfs
