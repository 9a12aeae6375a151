// Standard normal numbers by Box and Muller (1958), with the same bits on every device.
//
// The elementary functions are polynomials in double made of +, *, / and sqrt, which IEEE 754 rounds correctly
// everywhere; nothing may be contracted to fused operations (-ffp-contract=off, -fmad=false).
#pragma once

#include <cmath>
#include <cstdint>

#include "philox.h"
#include "portable.h"

namespace featlab {

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kHalfPi = 1.57079632679489661923;
constexpr double kSqrtHalf = 0.707106781186547524401;

// ln(u) for normal u in (0, 1): u = 2^e m, m in [sqrt(1/2), sqrt(2)), ln m = 2 artanh((m - 1) / (m + 1)).
FEATLAB_FN double log_unit(double u) {
  const auto bits = bits_as<uint64_t>(u);
  double mantissa = bits_as<double>((bits & 0x000FFFFFFFFFFFFFULL) | 0x3FE0000000000000ULL);
  double exponent = static_cast<double>(static_cast<int32_t>(bits >> 52) - 1022);
  const bool small = mantissa < kSqrtHalf;
  mantissa = small ? mantissa * 2.0 : mantissa;
  exponent = small ? exponent - 1.0 : exponent;
  const double s = (mantissa - 1.0) / (mantissa + 1.0);
  const double z = s * s;
  double series = 1.0 / 21;
  series = series * z + 1.0 / 19;
  series = series * z + 1.0 / 17;
  series = series * z + 1.0 / 15;
  series = series * z + 1.0 / 13;
  series = series * z + 1.0 / 11;
  series = series * z + 1.0 / 9;
  series = series * z + 1.0 / 7;
  series = series * z + 1.0 / 5;
  series = series * z + 1.0 / 3;
  series = series * z + 1.0;
  return exponent * kLn2 + s * 2.0 * series;
}

struct Pair {
  double first, second;
};

// (cos, sin) of 2 pi (word + 1/2) / 2^32. The top two bits are the quadrant; the rest is an angle t about its middle.
FEATLAB_FN Pair unit_circle(uint32_t word) {
  const double fraction = (static_cast<double>(word & 0x3FFFFFFFU) + 0.5) * 0x1p-30;
  const double t = (fraction - 0.5) * kHalfPi;
  const double z = t * t;
  double sine = 1.0 / 1307674368000.0;  // 1/15! and down; the signs alternate
  sine = 1.0 / 6227020800.0 - sine * z;
  sine = 1.0 / 39916800.0 - sine * z;
  sine = 1.0 / 362880.0 - sine * z;
  sine = 1.0 / 5040.0 - sine * z;
  sine = 1.0 / 120.0 - sine * z;
  sine = 1.0 / 6.0 - sine * z;
  sine = t * (1.0 - sine * z);
  double cosine = 1.0 / 20922789888000.0;  // 1/16! and down
  cosine = 1.0 / 87178291200.0 - cosine * z;
  cosine = 1.0 / 479001600.0 - cosine * z;
  cosine = 1.0 / 3628800.0 - cosine * z;
  cosine = 1.0 / 40320.0 - cosine * z;
  cosine = 1.0 / 720.0 - cosine * z;
  cosine = 1.0 / 24.0 - cosine * z;
  cosine = 1.0 / 2.0 - cosine * z;
  cosine = 1.0 - cosine * z;
  const double x = (cosine - sine) * kSqrtHalf;  // turned by 45 degrees: the first quadrant
  const double y = (cosine + sine) * kSqrtHalf;
  const uint32_t quadrant = word >> 30;
  const double turned_x = (quadrant & 1U) != 0 ? -y : x;
  const double turned_y = (quadrant & 1U) != 0 ? x : y;
  return (quadrant & 2U) != 0 ? Pair{-turned_x, -turned_y} : Pair{turned_x, turned_y};
}

FEATLAB_FN Pair normal_pair(uint32_t radius_word, uint32_t angle_word) {
  const double radius = sqrt(-2.0 * log_unit(open_uniform(radius_word)));
  const Pair direction = unit_circle(angle_word);
  return {radius * direction.first, radius * direction.second};
}

struct Normals {
  double value[4];
};

FEATLAB_FN Normals normals(const Stream& stream, uint32_t block) {
  const Words words = draw(stream, block);
  const Pair a = normal_pair(words.word[0], words.word[1]);
  const Pair b = normal_pair(words.word[2], words.word[3]);
  return {{a.first, a.second, b.first, b.second}};
}

}  // namespace featlab
