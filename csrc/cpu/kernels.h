// The row kernels of one instruction set, as a table of plain functions. No PyTorch header comes near them: they are
// compiled once per instruction set, and an inline function of a library compiled here for AVX-512 could be the copy
// that the linker keeps for every caller.
#pragma once

#include <cstdint>

#include "../common/fingerprint.h"
#include "../common/steps.h"

namespace featlab {

enum GradKind : int { kNoGrad, kFloat, kDouble, kBFloat16, kHalf, kGradKinds };

// One example, or for the linf kernels any part of one.
struct StepRow {
  const float* points;
  const void* grad;
  const float* center;
  float* out;
  int64_t size;
  float eps, step;
  Box box;
  int64_t ahead = 0;  // elements from here to the next example, where it is to be fetched while this one is worked on
};

struct SampleRow {
  const float* center;
  float* out;
  int64_t first;  // element at which the part begins, a multiple of four
  int64_t size;
  float eps;
  Box box;
  Stream stream;
};

struct Kernels {
  void (*linf_step[kGradKinds])(const StepRow&);
  void (*l2_step[kGradKinds])(const StepRow&);
  void (*linf_sample)(const SampleRow&);
  void (*l2_sample)(const SampleRow&);
  uint64_t (*fingerprint)(const float* values, int64_t size);
};

namespace baseline {
extern const Kernels kernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

}  // namespace featlab
