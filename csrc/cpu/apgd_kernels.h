// The row kernels of Auto-PGD of one instruction set; see kernels.h.
#pragma once

#include <cstdint>

#include "../common/apgd.h"

namespace featlab {

// One example, or for the linf kernel any part of one.
struct ApgdRow {
  const float *points, *grad, *center;
  float *previous, *best, *best_grad, *out;
  int64_t size;
  float eps, step, alpha;
  Box box;
  bool improved, back;
};

struct ApgdKernels {
  void (*linf_step)(const ApgdRow&);
  void (*l2_step)(const ApgdRow&);
};

namespace baseline {
extern const ApgdKernels apgd_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const ApgdKernels apgd_kernels;
}
namespace avx512 {
extern const ApgdKernels apgd_kernels;
}
#endif

}  // namespace featlab
