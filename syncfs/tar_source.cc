#include "syncfs/tar_source.h"

#include "syncfs/tar_block.h"
#include "syncfs/tar_header.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>
#include <string>

namespace towline::syncfs {

struct TarSource::State {
  enum class Phase { kBefore, kHeader, kContent, kTail, kEnd };

  std::size_t piece(std::span<std::byte> into);
  bool advance(std::size_t until);
  void begin_member();
  void begin_tail();
  void open_content(const std::optional<BlobId>& blob, std::uint64_t size, const std::string& what);

  std::shared_ptr<const Snapshot> snapshot;
  OpenBlob open;
  Phase phase = Phase::kBefore;
  std::size_t member = 0;     // being read, or the next
  std::uint64_t zeros = 0;    // to be written first: padding, end blocks
  std::uint64_t padding = 0;  // that the member before still lacks
  std::string header;
  std::unique_ptr<ContentSource> content;
  std::uint64_t size = 0;  // of header or content
  std::uint64_t done = 0;
};

void TarSource::State::open_content(const std::optional<BlobId>& blob, std::uint64_t wanted,
                                    const std::string& what) {
  content.reset();
  size = wanted;
  done = 0;
  if (size == 0) return;  // needs no blob
  if (blob) content = open(*blob);
  if (!content) throw Error(Errc::not_found, "content of " + what);
  if (content->size() != size) throw Error(Errc::corrupt, "content of " + what);
}

void TarSource::State::begin_member() {
  header = make_tar_header(snapshot->members()[member]);
  zeros = padding;
  padding = 0;
  phase = Phase::kHeader;
  size = header.size();
  done = 0;
}

void TarSource::State::begin_tail() {
  const Snapshot::Tail& tail = snapshot->tail();
  open_content(tail.rest, tail.rest_size, "the end of the tar");
  zeros = (tail.unpadded ? 0 : padding) + tail.zeros;
  padding = 0;
  phase = Phase::kTail;
}

// Goes to what is to be written next; false when that is not before `until`.
bool TarSource::State::advance(std::size_t until) {
  for (;;) {
    if (phase == Phase::kEnd) return false;
    if (zeros > 0 || (phase != Phase::kBefore && done < size)) return true;
    switch (phase) {
      case Phase::kBefore:
        if (member >= until) return false;
        if (member < snapshot->members().size()) {
          begin_member();
        } else {
          begin_tail();
        }
        break;
      case Phase::kHeader: {
        const Entry& entry = snapshot->members()[member].entry;
        const bool file = entry.type == EntryType::kFile;
        open_content(entry.blob, file ? entry.size : 0, entry.path);
        padding = tar_padding(size);
        phase = Phase::kContent;
        break;
      }
      case Phase::kContent:
        content.reset();
        ++member;
        phase = Phase::kBefore;
        break;
      case Phase::kTail:
        content.reset();
        phase = Phase::kEnd;
        break;
      case Phase::kEnd:
        break;
    }
  }
}

std::size_t TarSource::State::piece(std::span<std::byte> into) {
  if (zeros > 0) {
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(zeros, into.size()));
    std::memset(into.data(), 0, now);
    zeros -= now;
    return now;
  }
  const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(size - done, into.size()));
  if (phase == Phase::kHeader) {
    std::memcpy(into.data(), header.data() + done, now);
  } else {
    content->read_at(done, into.first(now));
  }
  done += now;
  return now;
}

TarSource::TarSource(std::shared_ptr<const Snapshot> snapshot, OpenBlob open)
    : state_(std::make_unique<State>()) {
  state_->snapshot = std::move(snapshot);
  state_->open = std::move(open);
}

TarSource::~TarSource() = default;

std::size_t TarSource::read(std::span<std::byte> into, std::size_t until) {
  std::size_t written = 0;
  while (written < into.size() && state_->advance(until)) {
    written += state_->piece(into.subspan(written));
  }
  return written;
}

std::size_t TarSource::read(std::span<std::byte> into) {
  return read(into, std::numeric_limits<std::size_t>::max());
}

std::size_t TarSource::position() const {
  const State& s = *state_;
  if (s.zeros > 0 || s.done < s.size) return s.member;
  if (s.phase == State::Phase::kContent) return s.member + 1;
  if (s.phase != State::Phase::kHeader) return s.member;
  const Entry& entry = s.snapshot->members()[s.member].entry;
  return entry.type == EntryType::kFile && entry.size > 0 ? s.member : s.member + 1;
}

void TarSource::continue_with(std::shared_ptr<const Snapshot> next) {
  assert(next->members().size() >= position());
  assert(state_->phase != State::Phase::kTail && state_->phase != State::Phase::kEnd);
  state_->snapshot = std::move(next);
}

}  // namespace towline::syncfs
