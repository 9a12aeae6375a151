// Floating-point numbers of 16 bits: conversions round to nearest, ties to even.
#pragma once

#include <cmath>
#include <cstdint>

namespace emulation {

template <int FRACTION, int SMALLEST, int LARGEST>  // bits of the fraction, exponents of the normal numbers
struct Half {
  uint16_t bits;

  Half() = default;
  explicit Half(double value) : bits(encoded(value)) {}
  explicit operator float() const { return static_cast<float>(decoded(bits)); }

  static double decoded(uint16_t bits) {
    const int exponent = (bits & 0x7FFF) >> FRACTION, fraction = bits & ((1 << FRACTION) - 1);
    double size =
        std::ldexp(fraction + (exponent == 0 ? 0 : 1 << FRACTION), std::max(exponent, 1) - 1 + SMALLEST - FRACTION);
    if (exponent == LARGEST - SMALLEST + 2) {
      size = fraction == 0 ? HUGE_VAL : NAN;
    }
    return (bits & 0x8000) != 0 ? -size : size;
  }

  static uint16_t encoded(double value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) {
      return 0x7FFF;
    }
    const uint16_t infinity = (LARGEST - SMALLEST + 2) << FRACTION;
    if (std::isinf(value) || value == 0.0) {
      return sign | (value == 0.0 ? 0 : infinity);
    }
    const int exponent = std::max(std::ilogb(value), SMALLEST);
    const double units = std::nearbyint(std::ldexp(std::fabs(value), FRACTION - exponent));
    const double all = std::ldexp(exponent - SMALLEST, FRACTION) + units;  // a carry raises the exponent
    return sign | (all < infinity ? static_cast<uint16_t>(all) : infinity);
  }
};

}  // namespace emulation
