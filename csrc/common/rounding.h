// Sums that are rounded towards the centre of a ball, so that a distance in exact arithmetic never exceeds its bound.
//
// Everything is made of sums rounded to nearest and of comparisons, so that every instruction set, every compiler that
// does not reassociate, and the reference in Python give the same bits.
#pragma once

#include <cmath>
#include <cstdint>

#include "portable.h"

namespace featlab {

constexpr float kFloatMax = 3.40282346638528859812e+38F;

FEATLAB_FN float next_down(float value) {
  const auto bits = bits_as<int32_t>(value);
  const int32_t lower = value == 0.0F ? static_cast<int32_t>(0x80000001U) : bits + (value < 0.0F ? 1 : -1);
  return bits_as<float>(lower);
}

FEATLAB_FN float next_up(float value) {
  const auto bits = bits_as<int32_t>(value);
  const int32_t upper = value == 0.0F ? 1 : bits + (value < 0.0F ? -1 : 1);
  return bits_as<float>(upper);
}

// The largest float that is at most a + b. The last sum turns a zero of either sign into +0, which the modes of
// directed rounding and the residual disagree about.
FEATLAB_FN float add_down(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rd(a, b) + 0.0F;
#else
  const float sum = a + b;
  const float b_seen = sum - a;
  const float residual = (a - (sum - b_seen)) + (b - b_seen);  // Knuth's TwoSum: a + b - sum, exactly
  const bool overflow = sum > kFloatMax && a <= kFloatMax && b <= kFloatMax;
  return ((residual < 0.0F || overflow) ? next_down(sum) : sum) + 0.0F;
#endif
}

// The smallest float that is at least a - b.
FEATLAB_FN float sub_up(float a, float b) {
  return -add_down(-a, b) + 0.0F;
}

// center + offset, rounded towards `center`.
FEATLAB_FN float add_toward(float center, double offset) {
  const double sum = static_cast<double>(center) + offset;
#if defined(__CUDA_ARCH__)
  return offset > 0.0 ? __double2float_rd(sum) : __double2float_ru(sum);
#else
  const auto nearest = static_cast<float>(sum);
  const double seen = static_cast<double>(nearest);
  const double excess = offset > 0.0 ? seen - sum : sum - seen;
  const float down = next_down(nearest), up = next_up(nearest);
  const float inner = offset > 0.0 ? down : up;
  return excess > 0.0 ? inner : nearest;
#endif
}

// center + offset, at most 2^-24 of the offset farther from `center`: rounded to nearest, and one step back where that
// is seen to be beyond.
FEATLAB_FN float add_within(float center, float offset) {
  const float sum = center + offset;
  const float seen = sum - center;
  const int32_t differ = (bits_as<int32_t>(sum) ^ bits_as<int32_t>(offset)) >> 31;  // -1 where the signs do
  const float inner = bits_as<float>(bits_as<int32_t>(sum) - (differ | 1));
  return fabsf(seen) > fabsf(offset) ? inner : sum;
}

}  // namespace featlab
