#pragma once

#include "half_types.h"

using __half = emulation::Half<10, -14, 15>;

inline float __half2float(__half value) {
  return static_cast<float>(value);
}
inline __half __float2half(float value) {
  return __half(value);
}
inline __half __float2half_rn(float value) {
  return __half(value);
}
inline __half __double2half(double value) {
  return __half(value);
}
