#pragma once

#include "syncfs/content.h"
#include "syncfs/snapshot.h"

#include <memory>

namespace towline::syncfs {

/// Takes a tar apart as it streams in. Does no I/O: bytes in, calls out. What it
/// does not understand (sparse members, unknown types, bad checksums, a stream that is cut
/// off or is no tar at all) is no error: from that header on everything is the tail,
/// byte for byte. Memory: one member's headers (at most kHeaderBytesMax), no contents.
///
/// For every stream and every split of it, the members and the tail give the same
/// bytes again (syncfs/tar_source.h).
class TarSplitter {
 public:
  class Events {
   public:
    virtual ~Events() = default;
    /// A member begins. For files, `content` calls of exactly entry.size bytes follow (none for an
    /// empty file) and then `member_end`; for all else neither. entry.blob is not set: who takes
    /// the content sets it. entry.path is as normal as it can be made, and may be no RelPath
    /// ("../x", or empty for the root); header.kept gives the name as it stands then.
    virtual void member(Member&& member) = 0;
    virtual void content(Bytes bytes) = 0;
    virtual void member_end() = 0;
    /// The file begun last was cut off by the end of the stream: it is no member. Its raw header
    /// and the content so far are the tail; `raw_header` is the former. Nothing follows.
    virtual void member_torn(Bytes raw_header) = 0;
    /// Bytes after the last member, zeros included; may be called often.
    virtual void tail(Bytes bytes) = 0;
  };

  explicit TarSplitter(Events& events);
  ~TarSplitter();
  void feed(Bytes bytes);
  /// End of the stream. Throws nothing of its own.
  void finish();
  /// False once something made the rest a tail of other than zero bytes.
  bool clean() const;
  /// After finish: the tail begins right after the content of the last member, whose padding is
  /// missing or not of zeros (Snapshot::Tail::unpadded).
  bool unpadded() const;

  static constexpr std::size_t kHeaderBytesMax = 1 << 20;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace towline::syncfs
