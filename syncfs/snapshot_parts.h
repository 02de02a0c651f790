#pragma once

#include "syncfs/snapshot.h"
#include "syncfs/tree.h"

#include <string>

namespace towline::syncfs {

/// Kept with the snapshot so that updates against it need not encode it again.
struct Snapshot::Parts {
  Tree tree;
  std::string attributes;  // attribute_vector.h
  std::string form;        // tar_form.h
};

}  // namespace towline::syncfs
