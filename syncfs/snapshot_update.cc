#include "syncfs/snapshot_update.h"

#include "syncfs/attribute_vector.h"
#include "syncfs/byte_codec.h"
#include "syncfs/snapshot_parts.h"
#include "syncfs/tar_form.h"

#include <algorithm>
#include <unordered_set>

namespace towline::syncfs {
namespace {

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const Tree& nothing() {
  static const Tree none;
  return none;
}

/// Walks below a root without recursion; charges every entry against a budget, because shared
/// nodes let a few bytes stand for very many entries.
class TreeExpander {
 public:
  TreeExpander(const FindNode& find, std::uint64_t budget) : find_(find), budget_(budget) {}

  Result<std::vector<Entry>> run(const BlobId& root) {
    Result<void> step = enter(root, {});
    while (step && !open_.empty()) {
      if (open_.back().next == open_.back().entries.size()) {
        open_.pop_back();
      } else {
        step = visit();
      }
    }
    if (!step) return step.error();
    return std::move(out_);
  }

 private:
  struct Open {
    std::string prefix;
    std::vector<NodeEntry> entries;
    std::size_t next = 0;
  };

  Result<void> enter(const BlobId& id, std::string prefix) {
    const DirectoryNode* const node = find_(id);
    if (node == nullptr || open_.size() > kTreeDepthMax) return Errc::malformed;
    if (!charge(node->facts.size() + node->ids.size())) return Errc::too_large;
    auto entries = parse_node(node->facts, node->ids);
    if (!entries) return entries.error();
    if (!charge(entries->size() * (sizeof(Member) + prefix.size()))) return Errc::too_large;
    open_.push_back({std::move(prefix), std::move(*entries)});
    return {};
  }

  Result<void> visit() {
    Open& top = open_.back();
    NodeEntry& entry = top.entries[top.next++];
    std::string path = top.prefix;
    path += entry.name;
    const bool directory = entry.entry.type == EntryType::kDirectory;
    const BlobId id = entry.id;
    if (!entry.implied) {
      out_.push_back(std::move(entry.entry));
      out_.back().path = path;
    }
    return directory ? enter(id, path + '/') : Result<void>();
  }

  bool charge(std::uint64_t bytes) {
    if (bytes > budget_) return false;
    budget_ -= bytes;
    return true;
  }

  const FindNode& find_;
  std::uint64_t budget_;
  std::vector<Open> open_;
  std::vector<Entry> out_;
};

/// The payload's sections, in order. Facts and ids of nodes are apart because ids do not
/// compress and would spoil what does.
struct Payload {
  std::string facts;       // how many fresh nodes there are, then their facts
  std::string attributes;  // if they differ
  std::string form;
  std::string references;  // which ids of directories are left out because the node is in here
  std::string ids;         // the others; without fresh nodes, the root's

  std::vector<std::string> sections() && {
    return {std::move(facts), std::move(attributes), std::move(form), std::move(references),
            std::move(ids)};
  }
};

std::string prefix_of(const Tree& base, const UpdateHead& head, std::string_view attributes,
                      std::string_view form) {
  std::string prefix;
  std::string ids;
  for (std::size_t i = 0; i < base.nodes.size(); ++i) {
    if (!head.replaced[i]) continue;
    append_sized(prefix, base.nodes[i].facts);
    ids += base.nodes[i].ids;
  }
  if (head.attributes) append_sized(prefix, attributes);
  if (head.form) append_sized(prefix, form);
  return prefix += ids;
}

// How far before node number `number` the fresh node with this id stands; 0: it is not fresh.
using FreshNumbers = std::unordered_map<BlobId, std::uint64_t>;

void append_ids(const DirectoryNode& node, const FreshNumbers& fresh, std::uint64_t number,
                Payload& payload) {
  const auto directories = ids_of_directories(node.facts);
  ByteReader reader(node.ids);
  for (const bool directory : *directories) {
    const BlobId id = reader.id();
    const auto found = directory ? fresh.find(id) : fresh.end();
    const std::uint64_t back = found == fresh.end() ? 0 : number - found->second;
    if (directory) append_varint(payload.references, back);
    if (back == 0) append_id(payload.ids, id);
  }
}

void append_nodes(const Tree& base, const Tree& next, Payload& payload) {
  FreshNumbers fresh;
  std::string facts;
  for (const DirectoryNode& node : next.nodes) {
    if (base.index.contains(node.id)) continue;
    const std::uint64_t number = fresh.size();
    append_sized(facts, node.facts);
    append_ids(node, fresh, number, payload);
    fresh.emplace(node.id, number);
  }
  append_varint(payload.facts, fresh.size());
  payload.facts += facts;
  if (fresh.empty()) append_id(payload.ids, next.root());
}

/// The nodes of an update, beside those of its base.
struct FreshNodes {
  std::vector<DirectoryNode> nodes;
  std::unordered_map<BlobId, std::size_t> index;
  BlobId root{BlobId::Bytes{}};
};

bool read_ids(ByteReader& references, ByteReader& ids, DirectoryNode& node,
              const FreshNodes& fresh) {
  const auto directories = ids_of_directories(node.facts);
  if (!directories) return false;
  for (const bool directory : *directories) {
    const std::uint64_t back = directory ? references.varint_to(fresh.nodes.size()) : 0;
    append_id(node.ids, back == 0 ? ids.id() : fresh.nodes[fresh.nodes.size() - back].id);
    if (references.failed() || ids.failed()) return false;
  }
  node.id = node_id(node.facts, node.ids);
  return true;
}

/// Where the sections of an expanded payload are.
struct PayloadView {
  std::vector<std::string_view> facts;
  std::string_view attributes;
  std::string_view form;
  std::string_view rest;  // references and ids
};

Result<PayloadView> parse_payload(std::string_view payload, const UpdateHead& head) {
  ByteReader reader(payload);
  PayloadView view;
  for (std::uint64_t n = reader.varint_to(reader.left()); n > 0 && !reader.failed(); --n) {
    view.facts.push_back(reader.sized());
  }
  if (head.attributes) view.attributes = reader.sized();
  if (head.form) view.form = reader.sized();
  view.rest = reader.bytes(reader.left());
  if (reader.failed()) return Errc::malformed;
  return view;
}

// One reference a directory, then the ids: where the former end is known by reading them.
Result<std::size_t> size_of_references(const PayloadView& view) {
  ByteReader reader(view.rest);
  for (const std::string_view facts : view.facts) {
    const auto directories = ids_of_directories(facts);
    if (!directories) return directories.error();
    for (auto n = std::count(directories->begin(), directories->end(), true); n > 0; --n) {
      reader.varint();
    }
  }
  if (reader.failed()) return Errc::malformed;
  return view.rest.size() - reader.left();
}

Result<FreshNodes> read_nodes(const PayloadView& view) {
  const auto split = size_of_references(view);
  if (!split) return split.error();
  ByteReader references(view.rest.substr(0, *split));
  ByteReader ids(view.rest.substr(*split));
  FreshNodes fresh;
  for (const std::string_view facts : view.facts) {
    DirectoryNode node;
    node.facts = facts;
    if (!read_ids(references, ids, node, fresh)) return Errc::malformed;
    fresh.index.emplace(node.id, fresh.nodes.size());
    fresh.nodes.push_back(std::move(node));
  }
  fresh.root = fresh.nodes.empty() ? ids.id() : fresh.nodes.back().id;
  if (!references.done() || !ids.done()) return Errc::malformed;
  return fresh;
}

std::vector<Member> assemble(std::vector<Entry> entries, const std::vector<Attributes>& attributes,
                             TarForm& form) {
  std::vector<Member> members(form.order.size());
  std::size_t stray = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::uint32_t place = form.order[i];
    if (place == kStray) {
      members[i] = std::move(form.strays[stray++]);
    } else {
      members[i].entry = std::move(entries[place]);
      members[i].attributes = attributes[place];
    }
    members[i].header = std::move(form.headers[i]);
  }
  return members;
}

}  // namespace

Result<std::vector<Entry>> expand_tree(const BlobId& root, const FindNode& find,
                                       std::uint64_t size_max) {
  return TreeExpander(find, size_max).run(root);
}

std::string Snapshot::encode_update(const Snapshot* base, const Snapshot& next, int level) {
  const Tree& old_tree = base == nullptr ? nothing() : base->parts_->tree;
  UpdateHead head;
  head.attributes = base == nullptr || base->parts_->attributes != next.parts_->attributes;
  head.form = base == nullptr || base->parts_->form != next.parts_->form;
  head.replaced.reserve(old_tree.nodes.size());
  for (const DirectoryNode& node : old_tree.nodes) {
    head.replaced.push_back(!next.parts_->tree.index.contains(node.id));
  }
  Payload payload;
  append_nodes(old_tree, next.parts_->tree, payload);
  if (head.attributes) append_sized(payload.attributes, next.parts_->attributes);
  if (head.form) append_sized(payload.form, next.parts_->form);
  const auto sections = std::move(payload).sections();
  for (const std::string& section : sections) head.payload_size += section.size();

  std::string prefix;
  if (base != nullptr) {
    prefix = prefix_of(old_tree, head, base->parts_->attributes, base->parts_->form);
  }
  std::string out;
  append_update_head(out, head);
  return out += compress_sections(sections, prefix, level);
}

Result<std::shared_ptr<const Snapshot>> Snapshot::apply_update(const Snapshot* base, Bytes update,
                                                               const SnapshotId& expected,
                                                               std::uint64_t size_max) {
  const Tree& old_tree = base == nullptr ? nothing() : base->parts_->tree;
  std::string_view rest = text_of(update);
  const auto head = parse_update_head(rest, old_tree.nodes.size());
  if (!head) return head.error();
  if (base == nullptr && !(head->attributes && head->form)) return Errc::malformed;
  if (head->payload_size > size_max) return Errc::too_large;
  std::string prefix;
  if (base != nullptr) {
    prefix = prefix_of(old_tree, *head, base->parts_->attributes, base->parts_->form);
  }
  const auto payload = expand_sections(rest, prefix, static_cast<std::size_t>(head->payload_size));
  if (!payload) return payload.error();
  const auto view = parse_payload(*payload, *head);
  if (!view) return view.error();
  const auto fresh = read_nodes(*view);
  if (!fresh) return fresh.error();

  const FindNode find = [&](const BlobId& id) -> const DirectoryNode* {
    if (const auto at = fresh->index.find(id); at != fresh->index.end()) {
      return &fresh->nodes[at->second];
    }
    const auto at = old_tree.index.find(id);
    return at == old_tree.index.end() ? nullptr : &old_tree.nodes[at->second];
  };
  auto entries = expand_tree(fresh->root, find, size_max);
  if (!entries) return entries.error();
  const auto attributes = decode_attributes(
      head->attributes ? view->attributes : base->parts_->attributes, entries->size());
  if (!attributes) return attributes.error();
  auto form = decode_form(head->form ? view->form : base->parts_->form, entries->size(), size_max);
  if (!form) return form.error();

  const Tail tail = form->tail;
  auto snapshot = make(assemble(std::move(*entries), *attributes, *form), tail);
  if (snapshot->id() != expected) return Errc::malformed;
  return snapshot;
}

}  // namespace towline::syncfs
