#pragma once

#include "syncfs/snapshot.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace towline::syncfs {

/// What one header block is, before its member is known.
struct TarBlockKind {
  enum class What {
    kZero,       // an end block
    kBad,        // no header, or one of a kind that is not taken apart
    kExtension,  // x, g, L or K: `body` bytes and padding follow, then another header
    kMember,
  };
  What what;
  std::uint64_t body = 0;
};

/// `block` is kTarBlock bytes.
TarBlockKind classify_tar_block(std::string_view block);

/// Parses all header blocks of one member: extended headers with their bodies, then the main
/// header. nullopt for what is malformed or not taken apart (sparse files). The path is as
/// normalised as it can be; header.dialect is not set (form_tar_header does).
std::optional<Member> parse_tar_header(std::string_view raw);

/// Chooses the form that gives `raw` again: `hint` (the dialect of the member before) first, then
/// every other dialect, else `raw` itself is kept. Returns the dialect.
std::uint8_t form_tar_header(Member& member, std::string_view raw, std::uint8_t hint);

/// The member's header blocks. Throws Error(Errc::malformed), naming the path, when its
/// dialect cannot write it, which no parsed member's does.
std::string make_tar_header(const Member& member);

}  // namespace towline::syncfs
