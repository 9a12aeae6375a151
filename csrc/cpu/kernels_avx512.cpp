// x86-64-v4 machines. System headers come before the pragma, so that none of their functions is compiled for them.
#if defined(__x86_64__)
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#pragma GCC target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")

#include "apgd_kernels.h"
#include "heads_kernels.h"
#include "kernels.h"

namespace featlab::avx512 {
#include "kernels.inc"
// Uses what stands above.
#include "apgd.inc"
#include "heads.inc"
}  // namespace featlab::avx512
#endif
