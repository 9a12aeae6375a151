// The row kernels of the losses of one instruction set; see kernels.h.
#pragma once

#include <cstdint>

#include "../common/heads.h"
#include "kernels.h"

namespace featlab {

// One example. `target` is read by kDlrTargeted alone.
struct HeadRow {
  Loss loss;
  int64_t classes, label, target;
  const void* logits;
  void* cotangent;
  float *value, *margin;
  bool* correct;
};

struct HeadKernels {
  void (*head[kGradKinds])(const HeadRow&);
};

namespace baseline {
extern const HeadKernels head_kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const HeadKernels head_kernels;
}
namespace avx512 {
extern const HeadKernels head_kernels;
}
#endif

}  // namespace featlab
