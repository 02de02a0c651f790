#include "syncfs/tar_flight.h"

#include <algorithm>
#include <array>

namespace towline::syncfs {
namespace {

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

TarFlight::TarFlight(BlobStore& store, FlightSender& sender)
    : store_(store), sender_(sender), splitter_(*this), body_(*this) {}

TarFlight::~TarFlight() = default;

void TarFlight::feed(Bytes body) { body_.feed(body); }

void TarFlight::finish() {
  body_.finish();
  splitter_.finish();
  if (!is_tar_) is_tar_ = tail_.zeros > 0 && !rest_;
  if (!*is_tar_) return;
  tail_.unpadded = splitter_.unpadded();
  if (rest_) {
    tail_.rest = rest_->finish();
    tail_.rest_size = rest_->content().size();
    tail_.zeros = 0;
  }
  sender_.finish(std::move(tail_), std::move(rest_));
}

void TarFlight::write(Bytes bytes) { splitter_.feed(bytes); }

void TarFlight::member(Member&& member) {
  is_tar_ = true;
  if (member.entry.type != EntryType::kFile) {
    sender_.member(std::move(member), nullptr);
    return;
  }
  file_ = std::move(member);
  spool_ = std::make_unique<BlobStore::Spool>(store_);
}

void TarFlight::content(Bytes bytes) { spool_->write(bytes); }

void TarFlight::member_end() {
  file_->entry.blob = spool_->finish();
  sender_.member(std::move(*file_), std::move(spool_));
  file_.reset();
}

/// The stream ended inside a file: what there is of it, header included, ends the tar.
void TarFlight::member_torn(Bytes raw_header) {
  const std::unique_ptr<BlobStore::Spool> torn = std::move(spool_);
  file_.reset();
  torn->finish();
  tail(raw_header);
  const ContentSource& content = torn->content();
  std::array<std::byte, 64 << 10> buffer;
  for (std::uint64_t offset = 0; offset < content.size();) {
    const auto part = std::span(buffer).first(
        std::min<std::uint64_t>(buffer.size(), content.size() - offset));
    content.read_at(offset, part);
    tail(part);
    offset += part.size();
  }
}

void TarFlight::tail(Bytes bytes) {
  if (!rest_ && all_zero(bytes)) {
    tail_.zeros += bytes.size();
    return;
  }
  if (!is_tar_) {  // its first block was no header: not ours to split
    is_tar_ = false;
    return;
  }
  if (!*is_tar_) return;
  if (!rest_) {
    rest_ = std::make_unique<BlobStore::Spool>(store_);
    const std::array<std::byte, 4096> zeros{};
    for (std::uint64_t left = tail_.zeros; left > 0;) {
      const auto part = std::span(zeros).first(std::min<std::uint64_t>(left, zeros.size()));
      rest_->write(part);
      left -= part.size();
    }
  }
  rest_->write(bytes);
}

}  // namespace towline::syncfs
