// Picks the instance of a step kernel for the type of the gradient and the width of the packs.
#pragma once

#include <algorithm>

#include "launch.h"
#include "pack.cuh"

namespace featlab {

constexpr int64_t kMostBlocks = 65535;  // in the y dimension; kernels stride over what is beyond

template <class G>
bool packs_of_four(const StepArguments& a) {
  return a.size % 4 == 0 && aligned(a.points, 16) && aligned(a.center, 16) && aligned(a.out, 16) &&
         aligned(a.grad, 4 * static_cast<int64_t>(sizeof(G)));
}

// Calls launch.template operator()<G, WIDTH>().
template <class Launch>
void for_grad(GradType grad, const StepArguments& a, const Launch& launch) {
  const auto with = [&]<class G>() {
    if (packs_of_four<G>(a)) {
      launch.template operator()<G, 4>();
    } else {
      launch.template operator()<G, 1>();
    }
  };
  switch (grad) {
    case GradType::kFloat:
      return with.template operator()<float>();
    case GradType::kDouble:
      return with.template operator()<double>();
    case GradType::kBFloat16:
      return with.template operator()<__nv_bfloat16>();
    case GradType::kHalf:
      return with.template operator()<__half>();
    case GradType::kNone:
      return with.template operator()<NoGrad>();
  }
}

}  // namespace featlab
