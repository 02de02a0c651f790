#include "syncfs/tar_splitter.h"

#include "syncfs/tar_block.h"
#include "syncfs/tar_header.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace towline::syncfs {
namespace {

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

struct TarSplitter::State {
  enum class Phase { kHeader, kContent, kPadding, kTail };

  explicit State(Events& e) : events(e) {}

  std::size_t step(Bytes bytes);
  std::size_t gather(Bytes bytes);
  void header_complete();
  void begin_member();
  void begin_tail();
  void padding_complete();
  void tail(Bytes bytes);

  Events& events;
  Phase phase = Phase::kHeader;
  std::string raw;                 // the header blocks, or the padding, so far
  std::size_t wanted = kTarBlock;  // bytes of raw that make it complete
  std::size_t last_block = 0;      // where in raw the newest header block begins
  std::uint64_t content_left = 0;
  std::uint64_t padding = 0;  // of the file begun last
  std::uint8_t dialect = 0;   // of the member before
  bool clean = true;
  bool unpadded = false;
};

std::size_t TarSplitter::State::step(Bytes bytes) {
  switch (phase) {
    case Phase::kContent: {
      const auto now =
          static_cast<std::size_t>(std::min<std::uint64_t>(content_left, bytes.size()));
      events.content(bytes.first(now));
      content_left -= now;
      if (content_left == 0) {
        events.member_end();
        phase = padding > 0 ? Phase::kPadding : Phase::kHeader;
        raw.clear();
        wanted = padding > 0 ? static_cast<std::size_t>(padding) : kTarBlock;
      }
      return now;
    }
    case Phase::kTail:
      tail(bytes);
      return bytes.size();
    case Phase::kHeader:
    case Phase::kPadding:
      break;
  }
  return gather(bytes);
}

std::size_t TarSplitter::State::gather(Bytes bytes) {
  const std::size_t now = std::min(wanted - raw.size(), bytes.size());
  raw += text_of(bytes.first(now));
  if (raw.size() < wanted) return now;
  if (phase == Phase::kPadding) {
    padding_complete();
  } else {
    header_complete();
  }
  return now;
}

void TarSplitter::State::padding_complete() {
  if (!is_zeros(raw)) {
    unpadded = true;
    begin_tail();
    return;
  }
  phase = Phase::kHeader;
  raw.clear();
  wanted = kTarBlock;
}

// Called when a block was gathered, and again when the body of an extended header was.
void TarSplitter::State::header_complete() {
  const TarBlockKind kind = classify_tar_block(std::string_view(raw).substr(last_block, kTarBlock));
  switch (kind.what) {
    case TarBlockKind::What::kMember:
      begin_member();
      return;
    case TarBlockKind::What::kExtension: {
      const std::uint64_t room = kHeaderBytesMax - raw.size();
      if (raw.size() + kTarBlock > kHeaderBytesMax || kind.body > room ||
          kind.body + tar_padding(kind.body) + kTarBlock > room) {
        break;
      }
      // The next header block comes right behind the body: wait for both.
      last_block = raw.size() + static_cast<std::size_t>(kind.body + tar_padding(kind.body));
      wanted = last_block + kTarBlock;
      return;
    }
    case TarBlockKind::What::kZero:
    case TarBlockKind::What::kBad:
      break;
  }
  begin_tail();
}

void TarSplitter::State::begin_member() {
  auto member = parse_tar_header(raw);
  if (!member) {
    begin_tail();
    return;
  }
  dialect = form_tar_header(*member, raw, dialect);
  const bool file = member->entry.type == EntryType::kFile;
  content_left = member->entry.size;
  padding = tar_padding(content_left);
  events.member(std::move(*member));
  last_block = 0;
  wanted = kTarBlock;
  if (content_left > 0) {
    phase = Phase::kContent;  // raw stays: member_torn may need it
    return;
  }
  if (file) events.member_end();
  raw.clear();
}

void TarSplitter::State::begin_tail() {
  phase = Phase::kTail;
  tail(bytes_of(raw));
  raw.clear();
}

void TarSplitter::State::tail(Bytes bytes) {
  if (bytes.empty()) return;
  clean = clean && is_zeros(text_of(bytes));
  events.tail(bytes);
}

TarSplitter::TarSplitter(Events& events) : state_(std::make_unique<State>(events)) {}

TarSplitter::~TarSplitter() = default;

void TarSplitter::feed(Bytes bytes) {
  while (!bytes.empty()) bytes = bytes.subspan(state_->step(bytes));
}

void TarSplitter::finish() {
  switch (state_->phase) {
    case State::Phase::kContent:
      state_->clean = false;
      state_->events.member_torn(bytes_of(state_->raw));
      break;
    case State::Phase::kPadding:
      state_->unpadded = true;
      [[fallthrough]];
    case State::Phase::kHeader:
      state_->begin_tail();
      break;
    case State::Phase::kTail:
      break;
  }
  state_->phase = State::Phase::kTail;
}

bool TarSplitter::clean() const { return state_->clean; }

bool TarSplitter::unpadded() const { return state_->unpadded; }

}  // namespace towline::syncfs
