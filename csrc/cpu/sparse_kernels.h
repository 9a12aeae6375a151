// The row kernels of the sparse family, as the table of one instruction set; see kernels.h.
#pragma once

#include "../common/sparse.h"
#include "kernels.h"

namespace featlab {

// One example. Without a gradient a step is a projection; the samplers read `center` and `stream` alone.
struct SparseRow : StepRow {
  int64_t count, channels;
  Stream stream;
};

struct SparseKernels {
  void (*l1_step[kGradKinds])(const SparseRow&);
  void (*l0_step[kGradKinds])(const SparseRow&);
  void (*l2_box_project)(const SparseRow&);
  void (*l1_sample)(const SparseRow&);
  void (*l0_sample)(const SparseRow&);
};

namespace baseline {
extern const SparseKernels sparse_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const SparseKernels sparse_kernels;
}
namespace avx512 {
extern const SparseKernels sparse_kernels;
}
#endif

}  // namespace featlab
