// The formula of Auto-PGD's momentum, which the CPU and the CUDA kernels share.
#pragma once

#include "steps.h"

namespace featlab {

// x + alpha (z - x) + (1 - alpha) (x - previous); what it gives is still to be projected.
FEATLAB_FN float with_momentum(float start, float near, float previous, float alpha) {
  return (start + alpha * (near - start)) + (1.0F - alpha) * (start - previous);
}

// z of an l2 step: the example stays as it is, but for the box, where the plan says so.
FEATLAB_FN float l2_moved_point(const Plan& plan, float point, float grad, float center, Box box) {
  return plan.keep ? clip(point, box) : l2_apply(plan, point, static_cast<double>(grad), center, box);
}

}  // namespace featlab
