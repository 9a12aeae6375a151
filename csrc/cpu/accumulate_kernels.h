// The row kernels of steps along accumulated gradients, as the table of one instruction set; see kernels.h.
#pragma once

#include "../common/accumulate.h"
#include "kernels.h"

namespace featlab {

// One example. The momentum, as many values, is written over.
struct AccumulateRow : StepRow {
  float* momentum;
  float decay;
};

struct AccumulateKernels {
  void (*linf_step[kGradKinds])(const AccumulateRow&);  // none without a gradient
  void (*l2_step[kGradKinds])(const AccumulateRow&);
};

namespace baseline {
extern const AccumulateKernels accumulate_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const AccumulateKernels accumulate_kernels;
}
namespace avx512 {
extern const AccumulateKernels accumulate_kernels;
}
#endif

}  // namespace featlab
