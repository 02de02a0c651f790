#include "syncfs/tree.h"

#include "syncfs/byte_codec.h"
#include "syncfs/sha256.h"

#include <algorithm>
#include <cassert>

namespace towline::syncfs {
namespace {

// The kind byte of an entry: its type, and these.
constexpr std::uint8_t kTypeBits = 0x0f;
constexpr std::uint8_t kHasXattrs = 0x10;
constexpr std::uint8_t kHasId = 0x20;
constexpr std::uint8_t kImplied = 0x40;

void append_xattrs(std::string& out, const Entry& entry) {
  append_varint(out, entry.xattrs.size());
  for (const auto& [name, value] : entry.xattrs) {
    append_sized(out, name);
    append_sized(out, value);
  }
}

void append_entry(DirectoryNode& node, std::string_view name, const Entry& entry) {
  std::string& out = node.facts;
  auto kind = static_cast<std::uint8_t>(entry.type);
  if (!entry.xattrs.empty()) kind |= kHasXattrs;
  if (entry.type == EntryType::kFile && entry.blob) kind |= kHasId;
  append_sized(out, name);
  out += static_cast<char>(kind);
  append_varint(out, entry.mode);
  switch (entry.type) {
    case EntryType::kFile:
      append_varint(out, entry.size);
      if (entry.blob) append_id(node.ids, *entry.blob);
      break;
    case EntryType::kSymlink:
    case EntryType::kHardLink:
      append_sized(out, entry.link_target);
      break;
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
      append_varint(out, entry.device_major);
      append_varint(out, entry.device_minor);
      break;
    case EntryType::kDirectory:
    case EntryType::kFifo:
      break;
  }
  if (!entry.xattrs.empty()) append_xattrs(out, entry);
}

/// Builds the nodes of one walk: a stack of the directories that are open.
class TreeBuilder {
 public:
  TreeBuilder() : open_(1) {}

  void add(const Entry& entry) {
    const std::string_view path = entry.path;
    close_to(path);
    std::size_t start = open_.back().prefix;
    for (std::size_t slash = path.find('/', start); slash != path.npos;
         start = slash + 1, slash = path.find('/', start)) {
      open_implied(path.substr(start, slash - start), slash + 1);
    }
    append_entry(open_.back().node, path.substr(start), entry);
    if (entry.type == EntryType::kDirectory) open(path.size() + 1);
    last_ = path;
  }

  Tree finish() {
    while (open_.size() > 1) close();
    keep(std::move(open_.back().node));
    return std::move(tree_);
  }

 private:
  struct Open {
    DirectoryNode node;
    std::size_t prefix = 0;  // length of its path with the slash, in last_
  };

  void open(std::size_t prefix) {
    open_.emplace_back();
    open_.back().prefix = prefix;
  }

  void open_implied(std::string_view name, std::size_t prefix) {
    std::string& out = open_.back().node.facts;
    append_sized(out, name);
    out += static_cast<char>(static_cast<std::uint8_t>(EntryType::kDirectory) | kImplied);
    open(prefix);
  }

  void close_to(std::string_view path) {
    const auto holds = [&](std::size_t prefix) {
      // last_ may end without the slash that the prefix counts: a directory just opened.
      return prefix == 0 || (path.size() >= prefix && path[prefix - 1] == '/' &&
                             path.substr(0, prefix - 1) == last_.substr(0, prefix - 1));
    };
    while (!holds(open_.back().prefix)) close();
  }

  void close() {
    const BlobId id = keep(std::move(open_.back().node));
    open_.pop_back();
    append_id(open_.back().node.ids, id);
  }

  BlobId keep(DirectoryNode node) {
    node.id = node_id(node.facts, node.ids);
    const auto [at, fresh] =
        tree_.index.emplace(node.id, static_cast<std::uint32_t>(tree_.nodes.size()));
    if (fresh) tree_.nodes.push_back(std::move(node));
    return at->first;
  }

  std::vector<Open> open_;
  std::string_view last_;
  Tree tree_;
};

void parse_content(ByteReader& reader, Entry& entry) {
  switch (entry.type) {
    case EntryType::kFile:
      entry.size = reader.varint();
      break;
    case EntryType::kSymlink:
    case EntryType::kHardLink:
      entry.link_target = reader.sized();
      break;
    case EntryType::kCharDevice:
    case EntryType::kBlockDevice:
      entry.device_major = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
      entry.device_minor = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
      break;
    case EntryType::kDirectory:
    case EntryType::kFifo:
      break;
  }
}

void parse_xattrs(ByteReader& reader, Entry& entry) {
  for (std::uint64_t left = reader.varint_to(reader.left()); left > 0 && !reader.failed(); --left) {
    const std::string_view name = reader.sized();
    const std::string_view value = reader.sized();
    entry.xattrs.emplace_back(name, value);
  }
}

NodeEntry parse_entry(ByteReader& reader) {
  NodeEntry out;
  out.name = reader.sized();
  const std::uint8_t kind = reader.byte();
  const std::uint8_t type = kind & kTypeBits;
  const auto name = RelPath::parse(out.name);
  if (!name || name->is_root() || out.name.find('/') != out.name.npos ||
      type > static_cast<std::uint8_t>(EntryType::kFifo) || (kind & 0x80) != 0) {
    reader.fail();
    return out;
  }
  out.entry.type = static_cast<EntryType>(type);
  const bool directory = out.entry.type == EntryType::kDirectory;
  out.has_id = directory || (kind & kHasId) != 0;
  out.implied = (kind & kImplied) != 0;
  if (out.implied) {
    if (!directory) reader.fail();
    return out;
  }
  out.entry.mode = static_cast<std::uint32_t>(reader.varint_to(07777));
  parse_content(reader, out.entry);
  if ((kind & kHasXattrs) != 0) parse_xattrs(reader, out.entry);
  return out;
}

}  // namespace

BlobId node_id(std::string_view facts, std::string_view ids) {
  std::string head;
  append_varint(head, facts.size());
  Sha256 hash;
  hash.update(std::as_bytes(std::span(head)));
  hash.update(std::as_bytes(std::span(facts)));
  hash.update(std::as_bytes(std::span(ids)));
  return hash.finish();
}

bool walks_before(std::string_view left, std::string_view right) {
  const auto [l, r] = std::mismatch(left.begin(), left.end(), right.begin(), right.end());
  if (r == right.end()) return false;
  if (l == left.end()) return true;
  if (*l == '/' || *r == '/') return *l == '/';
  return static_cast<unsigned char>(*l) < static_cast<unsigned char>(*r);
}

bool is_tree_path(std::string_view path) {
  const auto depth = static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
  return !path.empty() && depth < kTreeDepthMax && RelPath::parse(path).has_value();
}

Tree build_tree(std::span<const Member> members, std::span<const std::uint32_t> order) {
  TreeBuilder builder;
  for (const std::uint32_t i : order) builder.add(members[i].entry);
  return builder.finish();
}

Result<std::vector<NodeEntry>> parse_node(std::string_view facts, std::string_view ids) {
  std::vector<NodeEntry> entries;
  ByteReader reader(facts);
  ByteReader id_reader(ids);
  while (!reader.failed() && !reader.at_end()) {
    NodeEntry entry = parse_entry(reader);
    if (entry.has_id) entry.id = id_reader.id();
    if (entry.has_id && entry.entry.type == EntryType::kFile) entry.entry.blob = entry.id;
    entries.push_back(std::move(entry));
  }
  if (!reader.done() || !id_reader.done()) return Errc::malformed;
  return entries;
}

Result<std::vector<bool>> ids_of_directories(std::string_view facts) {
  std::vector<bool> out;
  ByteReader reader(facts);
  while (!reader.failed() && !reader.at_end()) {
    const NodeEntry entry = parse_entry(reader);
    if (entry.has_id) out.push_back(entry.entry.type == EntryType::kDirectory);
  }
  if (!reader.done()) return Errc::malformed;
  return out;
}

}  // namespace towline::syncfs
