// The instructions that every machine of this architecture has.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "accumulate_kernels.h"
#include "apgd_kernels.h"
#include "heads_kernels.h"
#include "kernels.h"
#include "pictures.h"
#include "sparse_kernels.h"

namespace featlab::baseline {
#include "kernels.inc"
// Uses what stands above.
#include "accumulate.inc"
#include "apgd.inc"
#include "heads.inc"
#include "pictures.inc"
#include "sparse.inc"
}  // namespace featlab::baseline
