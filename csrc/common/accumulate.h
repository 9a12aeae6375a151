// The momentum of MI-FGSM, m' = decay m + g / |g|_1, by formulas that the CPU and the CUDA kernels share.
//
// |g|_1 is a sum that is the same in whatever order it is taken: each |g_i| is rounded to a whole multiple of a grain
// so coarse that double holds every sum of them exactly, 2^-51 of the largest times the number of values, or a little
// more.
#pragma once

#include <cmath>
#include <cstdint>

#include "steps.h"

namespace featlab {

// How many grains the largest |g_i| has.
FEATLAB_FN double grains_of(int64_t size) {
  double grains = 0x1p51;
  for (int64_t number = 1; number < size; number *= 2) {
    grains *= 0.5;
  }
  return grains;
}

// A magnitude in grains, rounded to a whole number; NaN and infinity spoil the sum.
FEATLAB_FN double whole_grains(double magnitude, double scale) {
  return (magnitude * scale + 0x1.8p52) - 0x1.8p52;
}

// 1 / |g|_1; 0 where the gradient is zero or not finite.
FEATLAB_FN double inverse_length(double total, double scale) {
  const double inverse = scale / total;
  return fabs(inverse) <= kDoubleMax ? inverse : 0.0;
}

FEATLAB_FN float accumulated(float momentum, float decay, double grad, double inverse) {
  const float unit = inverse == 0.0 ? 0.0F : static_cast<float>(grad * inverse);
  return decay * momentum + unit;
}

}  // namespace featlab
