// What the registrations of all CPU operators share: the instruction set, the type of a gradient, the size of a share.
#pragma once

#include <algorithm>

#include "../common/arguments.h"
#include "../common/isa.h"
#include "kernels.h"

namespace featlab {

constexpr int64_t kGrain = 32768;  // elements that are worth a thread

inline const Kernels& kernels() {
  static const Isa isa = chosen_isa();
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    return avx512::kernels;
  }
  if (isa == Isa::kAvx2) {
    return avx2::kernels;
  }
#endif
  return baseline::kernels;
}

inline GradKind kind_of(const char* op, const Tensor& grad) {
  switch (grad.scalar_type()) {
    case ScalarType::Float:
      return kFloat;
    case ScalarType::Double:
      return kDouble;
    case ScalarType::BFloat16:
      return kBFloat16;
    case ScalarType::Half:
      return kHalf;
    default:
      STD_TORCH_CHECK(false, op, ": grad must be float32, float64, bfloat16 or float16.");
  }
}

inline int64_t rows_per_thread(const Batch& batch) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, batch.size));
}

inline Box box_of(double low, double high) {
  return {static_cast<float>(low), static_cast<float>(high)};
}

}  // namespace featlab
