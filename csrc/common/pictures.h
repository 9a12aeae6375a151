// What pictures are made with: the formulas that the CPU and the CUDA kernels share.
//
// Apart from sums over an example and the sigmoid, operations stand in the definition's order, so that the bits are
// the definition's.
#pragma once

#include <cmath>
#include <cstdint>

#include "portable.h"

namespace featlab {

enum Form : int { kL1, kL2, kHuber, kForms };

// delta of the Huber cost, and what it is used as; products with the rounded inverse, as in the definition.
struct Knee {
  float delta, half, half_inverse, inverse;
};

inline Knee knee_of(double delta) {
  return {static_cast<float>(delta), static_cast<float>(0.5 * delta), static_cast<float>(0.5 / delta),
          static_cast<float>(1.0 / delta)};
}

// What a difference between neighbours costs.
template <int FORM>
FEATLAB_FN float cost(float step, const Knee& knee) {
  const float size = fabsf(step);
  if constexpr (FORM == kL1) {
    return size;
  } else if constexpr (FORM == kL2) {
    return step * step;
  } else {
    return size <= knee.delta ? step * step * knee.half_inverse : size - knee.half;
  }
}

// Its derivative.
template <int FORM>
FEATLAB_FN float slope(float step, const Knee& knee) {
  if constexpr (FORM == kL1) {
    return step > 0.0F ? 1.0F : (step < 0.0F ? -1.0F : 0.0F);
  } else if constexpr (FORM == kL2) {
    return 2.0F * step;
  } else {
    const float along = step * knee.inverse;
    const float raised = along < -1.0F ? -1.0F : along;
    return raised > 1.0F ? 1.0F : raised;
  }
}

// A picture as planes of rows: planes of one channel, or one plane whose pixels hold all channels. A neighbour in a row
// is `step` values away.
struct Planes {
  int64_t count, height, length, step;
};

// One value and its four neighbours; where there is none, the value itself stands in, which costs nothing.
struct Cross {
  float here, left, right, above, below;
};

// The cost of the two differences that begin here; over all values, each difference comes once.
template <int FORM>
FEATLAB_FN float cost_after(const Cross& x, const Knee& knee) {
  return cost<FORM>(x.right - x.here, knee) + cost<FORM>(x.below - x.here, knee);
}

// The derivative of all four.
template <int FORM>
FEATLAB_FN float slope_at(const Cross& x, const Knee& knee) {
  const float horizontal = slope<FORM>(x.here - x.left, knee) - slope<FORM>(x.right - x.here, knee);
  const float vertical = slope<FORM>(x.here - x.above, knee) - slope<FORM>(x.below - x.here, knee);
  return horizontal + vertical;
}

// 1 / (1 + exp(-z)). exp(-z) = 2^n exp(r) with |r| <= ln 2 / 2, and Taylor's polynomial of degree 7 for exp(r), which
// errs by less than 2^-27; z is cut to where 2^n is a normal number.
FEATLAB_FN float sigmoid(float z) {
  constexpr float kMost = 86.0F, kShift = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const float raised = z < -kMost ? -kMost : z;
  const float x = -(raised > kMost ? kMost : raised);  // NaN stays NaN
  const float shifted = x * 1.44269504F + kShift;
  const float n = shifted - kShift;
  const float r = (x - n * 0.693145752F) - n * 1.42860677e-6F;  // ln 2 in two parts, the first of few bits
  float series = 1.0F / 5040.0F;
  series = series * r + 1.0F / 720.0F;
  series = series * r + 1.0F / 120.0F;
  series = series * r + 1.0F / 24.0F;
  series = series * r + 1.0F / 6.0F;
  series = series * r + 0.5F;
  series = series * r + 1.0F;
  series = series * r + 1.0F;
  const uint32_t exponent = (bits_as<uint32_t>(shifted) << 23) + 0x3F800000U;  // the low bits of `shifted` are n
  return 1.0F / (1.0F + series * bits_as<float>(exponent));
}

// matrix (row by row), mean and 1 / std.
struct Palette {
  float matrix[9], mean[3], inverse[3];
};

FEATLAB_FN Palette palette_of(const float* matrix, const float* mean, const float* std) {
  Palette palette;
  for (int k = 0; k < 9; ++k) {
    palette.matrix[k] = matrix[k];
  }
  for (int k = 0; k < 3; ++k) {
    palette.mean[k] = mean == nullptr ? 0.0F : mean[k];
    palette.inverse[k] = 1.0F / std[k];
  }
  return palette;
}

FEATLAB_FN float shown(const Palette& p, int channel, float x, float y, float z) {
  const float* row = p.matrix + 3 * channel;
  return sigmoid((row[0] * x + row[1] * y) + row[2] * z);
}

FEATLAB_FN float colour_of(const Palette& p, int channel, float x, float y, float z) {
  return (shown(p, channel, x, y, z) - p.mean[channel]) * p.inverse[channel];
}

// The upstream gradient of one channel, taken back through normalisation and sigmoid.
FEATLAB_FN float before_sigmoid(const Palette& p, int channel, float x, float y, float z, float grad) {
  const float s = shown(p, channel, x, y, z);
  return grad * p.inverse[channel] * (s * (1.0F - s));
}

FEATLAB_FN float mixed_back(const Palette& p, int channel, float x, float y, float z) {
  return (p.matrix[channel] * x + p.matrix[3 + channel] * y) + p.matrix[6 + channel] * z;
}

// An axis of a picture: how many pixels, and to where coordinates are cut. Cut to -1 or `length` they read nothing.
struct Axis {
  float low, high;
  int32_t length;
};

FEATLAB_FN Axis axis_of(int32_t length, bool edge) {
  return {edge ? 0.0F : -1.0F, static_cast<float>(edge ? length - 1 : length), length};
}

// The two neighbours of a coordinate on an axis; what is outside has weight 0.
struct Neighbours {
  int32_t below, above;
  float below_weight, above_weight;
};

// Written without branches, for the vectoriser.
FEATLAB_FN Neighbours neighbours(float at, Axis axis) {
  const float raised = at > axis.low ? at : axis.low;  // NaN becomes `low`
  const float inside = raised < axis.high ? raised : axis.high;
  const auto toward_zero = static_cast<int32_t>(inside);
  const int32_t below = toward_zero - static_cast<int32_t>(static_cast<float>(toward_zero) > inside);
  const int32_t above = below + 1, last = axis.length - 1;
  const float share = inside - static_cast<float>(below);
  const int32_t raised_below = below < 0 ? 0 : below;
  const int32_t first = raised_below > last ? last : raised_below, second = above > last ? last : above;
  return {first, second, first == below ? 1.0F - share : 0.0F, second == above ? share : 0.0F};
}

}  // namespace featlab
