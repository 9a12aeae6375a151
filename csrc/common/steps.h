// What one element, or one example's three sums, become: the formulas that the CPU and the CUDA kernels share.
#pragma once

#include <cmath>
#include <cstdint>

#include "normal.h"
#include "philox.h"
#include "portable.h"
#include "rounding.h"

namespace featlab {

struct Box {
  float low, high;
};

// NaN stays NaN; a NaN bound does not bind.
FEATLAB_FN float clip(float value, Box box) {
  const float raised = value < box.low ? box.low : value;
  return raised > box.high ? box.high : raised;
}

// A radius that is negative or NaN allows no movement.
FEATLAB_FN float valid_radius(float eps) {
  return eps > 0.0F ? eps : 0.0F;
}

// What the ball of radius eps about `center` and the box have in common, in one coordinate.
FEATLAB_FN Box linf_interval(float center, float eps, Box box) {
  const float below = sub_up(center, eps);
  const float above = add_down(center, eps);
  return {below > box.low ? below : box.low, above < box.high ? above : box.high};
}

// step * sign(grad). "No movement" is -0, the number that changes no other when added; NaN has no sign.
template <class G>
FEATLAB_FN float sign_step(G grad, float step) {
  return grad > G(0) ? step : (grad < G(0) ? -step : -0.0F);
}

constexpr double kDoubleMax = 1.79769313486231570815e+308;

FEATLAB_FN bool is_finite(float value) {
  return value <= kFloatMax && value >= -kFloatMax;
}

// Uniform in the box where the ball is the whole space; the center where there is no finite box either.
FEATLAB_FN float box_sample(uint32_t word, float center, Box box) {
  const float unit = symmetric_uniform(word) * 0.5F + 0.5F;
  const bool finite = is_finite(box.low) && is_finite(box.high);
  return clip(finite ? box.low + unit * (box.high - box.low) : center, box);
}

FEATLAB_FN float linf_draw(uint32_t word, float center, float eps, Box box) {
  if (!is_finite(eps)) {
    return box_sample(word, center, box);
  }
  return clip(center + eps * symmetric_uniform(word), linf_interval(center, eps, box));
}

// Sums over one example: <g, g>, <d, g>, <d, d> with d = points - center.
struct Sums {
  double gg, dg, dd;
};

// Radii are taken smaller by this factor: an eighth of a float ulp, and yet more than the errors of the sums (1e-9
// where a sum was made of terms 256 times larger) and of the last rounding (2^-29), so that the norm of the result, in
// exact arithmetic, is at most eps.
constexpr double kShrink = 1.0 - 0x1p-26;

// The same for steps and projections in l2, which move values in float. With u = 2^-24, an offset rounded to float and
// two factors rounded to float times values that are together at most twice as long as what they add up to, the
// products and the sum rounded: 2 (u + u + u) + u; and u for what `add_within` lets pass. That is 8 u at most.
constexpr double kStepShrink = 1.0 - 0x1p-21;

// |d + along g|^2 is too much smaller than what it is made of where it is less than this part of |d|^2 + |along g|^2:
// the sums have lost digits, and |d| + |along g| may be more than twice as long.
constexpr double kCancelled = 0.5;

// The factor of the gradient that makes a step of length `step`; 0 where the gradient is zero or not finite.
FEATLAB_FN double l2_along(double gg, float step) {
  const double along = gg > 0.0 ? static_cast<double>(step) / sqrt(gg) : 0.0;
  return fabs(along) <= kDoubleMax ? along : 0.0;
}

struct Squared {
  double value;
  bool cancelled;
};

FEATLAB_FN Squared l2_moved(const Sums& sums, double along) {
  const double travelled = along * along * sums.gg;
  const double value = sums.dd + 2.0 * along * sums.dg + travelled;
  return {value, !(value >= kCancelled * (sums.dd + travelled) && value <= kDoubleMax)};
}

// x' = center + scale (d + along g), or in float center + (offset d + grad g) where that is precise enough; `keep`
// leaves the example as it is, bit for bit, but for the box.
struct Plan {
  double along, scale;
  float offset, grad;
  bool keep, single;
};

// Whether a factor neither overflows in float, nor loses digits to underflow.
FEATLAB_FN bool fits_float(double value) {
  return value == 0.0 || (fabs(value) >= 0x1p-80 && fabs(value) <= 0x1p80);
}

FEATLAB_FN Plan l2_plan(double squared, double along, float eps, bool cancelled = false) {
  const double radius = static_cast<double>(eps);
  const double limit = radius * kStepShrink;
  const double norm = sqrt(squared);
  const double scale = norm <= limit ? 1.0 : limit / norm, grad = scale * along;
  const bool single = !cancelled && eps >= 0x1p-40F && scale >= 0x1p-80 && fits_float(grad);
  return {along, scale, static_cast<float>(scale), static_cast<float>(grad), along == 0.0 && squared <= radius * radius,
          single};
}

FEATLAB_FN float l2_apply(const Plan& plan, float point, double grad, float center, Box box) {
  const double offset = static_cast<double>(point) - static_cast<double>(center);
  const double moved = plan.along == 0.0 ? offset : offset + plan.along * grad;  // 0 * NaN must not enter
  return clip(add_toward(center, plan.scale * moved), box);
}

// The same in float; `plan.single` says where that is precise enough.
FEATLAB_FN float l2_apply_single(const Plan& plan, float point, float grad, float center, Box box) {
  return clip(add_within(center, plan.offset * (point - center) + plan.grad * grad), box);
}

// The length of a sample: uniform in the ball of `size` dimensions.
FEATLAB_FN double l2_sample_length(const Stream& stream, float eps, int64_t size) {
  const double unit = open_uniform(draw(stream, 0).word[0]);
  return static_cast<double>(eps) * kShrink * pow(unit, 1.0 / static_cast<double>(size));
}

// The factor that gives a vector of normals, of squared length `squared`, this length.
FEATLAB_FN double l2_sample_scale(double squared, const Stream& stream, float eps, int64_t size) {
  return l2_sample_length(stream, eps, size) / sqrt(squared);
}

}  // namespace featlab
