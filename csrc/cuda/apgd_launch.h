// What the registration of Auto-PGD's operators asks of their kernels; see launch.h.
#pragma once

#include "../common/apgd.h"
#include "launch.h"

namespace featlab {

// `out` may be `points`; no other two of the tensors that are written overlap.
struct MomentumArguments {
  int64_t rows, size;
  const float *points, *grad, *center;
  float *previous, *best, *best_grad, *out;
  Values eps, step, alpha;
  const bool *improved, *back;
  Box box;
};

void launch_linf_momentum_step(const MomentumArguments& arguments, cudaStream_t stream);
void launch_l2_momentum_step(const MomentumArguments& arguments, cudaStream_t stream);

}  // namespace featlab
