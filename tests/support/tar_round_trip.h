#pragma once

#include "syncfs/sha256.h"
#include "syncfs/snapshot.h"
#include "syncfs/tar_source.h"
#include "syncfs/tar_splitter.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace towline::syncfs::test {

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Blobs in memory.
class MemoryBlobs {
 public:
  BlobId put(std::string content) {
    const BlobId id = blob_id_of(bytes_of(content));
    blobs_.insert_or_assign(id, std::move(content));
    return id;
  }
  void drop(const BlobId& id) { blobs_.erase(id); }
  OpenBlob opener() const {
    return [this](const BlobId& id) -> std::unique_ptr<ContentSource> {
      const auto at = blobs_.find(id);
      if (at == blobs_.end()) return nullptr;
      return std::make_unique<MemorySource>(bytes_of(at->second));
    };
  }

 private:
  std::map<BlobId, std::string> blobs_;
};

/// Takes a tar as a proxy does: contents to blobs, the rest to a snapshot.
class TarTaker final : public TarSplitter::Events {
 public:
  explicit TarTaker(MemoryBlobs& blobs) : blobs_(blobs) {}

  void member(Member&& member) override {
    members_.push_back(std::move(member));
    content_.clear();
  }
  void content(Bytes bytes) override { content_ += text_of(bytes); }
  void member_end() override { members_.back().entry.blob = blobs_.put(std::move(content_)); }
  void member_torn(Bytes raw_header) override {
    members_.pop_back();
    tail_ = std::string(text_of(raw_header)) + content_;
  }
  void tail(Bytes bytes) override { tail_ += text_of(bytes); }

  std::shared_ptr<const Snapshot> snapshot(bool unpadded) {
    Snapshot::Tail tail;
    tail.unpadded = unpadded;
    if (std::all_of(tail_.begin(), tail_.end(), [](char c) { return c == '\0'; })) {
      tail.zeros = tail_.size();
    } else {
      tail.rest_size = tail_.size();
      tail.rest = blobs_.put(tail_);
    }
    return Snapshot::make(std::move(members_), tail);
  }

 private:
  MemoryBlobs& blobs_;
  std::vector<Member> members_;
  std::string content_;
  std::string tail_;
};

/// Splits a tar that comes in pieces of these sizes, over and over.
inline std::shared_ptr<const Snapshot> split_tar(std::string_view tar, MemoryBlobs& blobs,
                                                 const std::vector<std::size_t>& pieces) {
  TarTaker taker(blobs);
  TarSplitter splitter(taker);
  for (std::size_t at = 0, i = 0; at < tar.size(); ++i) {
    const std::size_t size = std::min(pieces[i % pieces.size()], tar.size() - at);
    splitter.feed(bytes_of(tar.substr(at, size)));
    at += size;
  }
  splitter.finish();
  return taker.snapshot(splitter.unpadded());
}

inline std::string rebuild_tar(std::shared_ptr<const Snapshot> snapshot, const MemoryBlobs& blobs,
                               std::size_t piece = 64 << 10) {
  TarSource source(std::move(snapshot), blobs.opener());
  std::string out;
  std::string buffer(piece, '\0');
  for (;;) {
    const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)));
    if (got == 0) return out;
    out.append(buffer, 0, got);
  }
}

}  // namespace towline::syncfs::test
