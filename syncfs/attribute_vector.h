#pragma once

#include "protocol/error.h"
#include "syncfs/entry.h"

#include <string>
#include <string_view>
#include <vector>

namespace towline::syncfs {

/// Attributes of the entries of a tree in walk order, by columns: a column whose values are all
/// the same costs a few bytes, else each value is the difference to the one before.
std::string encode_attributes(const std::vector<Attributes>& attributes);

/// `count`: how many there must be. Errc::malformed otherwise.
Result<std::vector<Attributes>> decode_attributes(std::string_view bytes, std::size_t count);

}  // namespace towline::syncfs
