// x86-64-v4 machines. System headers come before the pragma, so that none of their functions is compiled for them.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#pragma GCC target("avx2,f16c,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")
#define FEATLAB_AVX512 1  // the pragma defines no macro that an inclusion would see
// The intrinsics of GCC 12 begin with registers that they leave undefined on purpose, and are warned of.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "accumulate_kernels.h"
#include "apgd_kernels.h"
#include "heads_kernels.h"
#include "kernels.h"
#include "pictures.h"
#include "sparse_kernels.h"

namespace featlab::avx512 {
#include "kernels.inc"
// Uses what stands above.
#include "accumulate.inc"
#include "apgd.inc"
#include "heads.inc"
#include "pictures.inc"
#include "sparse.inc"
}  // namespace featlab::avx512
#endif
