// x86-64-v3 machines. System headers come before the pragma, so that none of their functions is compiled for them.
#if defined(__x86_64__)
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#pragma GCC target("avx2,f16c")

#include "accumulate_kernels.h"
#include "apgd_kernels.h"
#include "heads_kernels.h"
#include "kernels.h"
#include "pictures.h"
#include "sparse_kernels.h"

namespace featlab::avx2 {
#include "kernels.inc"
// Uses what stands above.
#include "accumulate.inc"
#include "apgd.inc"
#include "heads.inc"
#include "pictures.inc"
#include "sparse.inc"
}  // namespace featlab::avx2
#endif
