// The instructions that every machine of this architecture has.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "apgd_kernels.h"
#include "heads_kernels.h"
#include "kernels.h"

namespace featlab::baseline {
#include "kernels.inc"
// Uses what stands above.
#include "apgd.inc"
#include "heads.inc"
}  // namespace featlab::baseline
