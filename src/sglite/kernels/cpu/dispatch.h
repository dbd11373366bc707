// The instruction sets that were compiled in, and those that this machine runs.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace sglite {

// Names of the sets that run here, the fastest first; "portable" is always the last.
std::vector<std::string> instruction_sets();

// Null where `name` is unknown or does not run here.
const Kernels* find_kernels(const std::string& name);

}  // namespace sglite
