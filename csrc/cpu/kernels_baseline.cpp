// The instructions that every machine of this architecture has.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "sparse_kernels.h"

namespace featlab::baseline {
#include "kernels.inc"
#include "sparse.inc"
}  // namespace featlab::baseline
