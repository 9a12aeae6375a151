// Arithmetic in a given direction of rounding, bits, memory hints, atomics: what the device does in one instruction.
#pragma once

#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace emulation {

// The operands are read, and the result is written, while the direction is set: volatile keeps it so.
template <class To, class From, class Operation>
To in_direction(int direction, From a, From b, From c, Operation operation) {
  volatile From x = a, y = b, z = c;
  std::fesetround(direction);
  volatile To result = operation(x, y, z);
  std::fesetround(FE_TONEAREST);
  return result;
}

}  // namespace emulation

#define EMULATION_ROUNDED(suffix, direction)                                                               \
  EMULATION_OPERATIONS(f, float, suffix, direction)                                                        \
  EMULATION_OPERATIONS(d, double, suffix, direction)                                                       \
  inline float __double2float_##suffix(double a) {                                                         \
    return emulation::in_direction<float>(direction, a, a, a,                                              \
                                          [](double x, double, double) { return static_cast<float>(x); }); \
  }

#define EMULATION_OPERATION(name, type, direction, parameters, a, b, c, formula)                               \
  inline type name parameters {                                                                                \
    return emulation::in_direction<type>(                                                                      \
        direction, a, b, c, [](type x, [[maybe_unused]] type y, [[maybe_unused]] type z) { return formula; }); \
  }

#define EMULATION_OPERATIONS(p, type, suffix, direction)                                      \
  EMULATION_OPERATION(__##p##add_##suffix, type, direction, (type a, type b), a, b, b, x + y) \
  EMULATION_OPERATION(__##p##sub_##suffix, type, direction, (type a, type b), a, b, b, x - y) \
  EMULATION_OPERATION(__##p##mul_##suffix, type, direction, (type a, type b), a, b, b, x* y)  \
  EMULATION_OPERATION(__##p##div_##suffix, type, direction, (type a, type b), a, b, b, x / y) \
  EMULATION_OPERATION(__##p##sqrt_##suffix, type, direction, (type a), a, a, a, std::sqrt(x)) \
  EMULATION_OPERATION(__##p##ma_##suffix, type, direction, (type a, type b, type c), a, b, c, std::fma(x, y, z))

EMULATION_ROUNDED(rn, FE_TONEAREST)
EMULATION_ROUNDED(rd, FE_DOWNWARD)
EMULATION_ROUNDED(ru, FE_UPWARD)
EMULATION_ROUNDED(rz, FE_TOWARDZERO)

#undef EMULATION_ROUNDED
#undef EMULATION_OPERATIONS
#undef EMULATION_OPERATION

// fma is spelt __fmaf_rn for float and __fma_rn for double.
#define EMULATION_FMA(suffix)                                  \
  inline float __fmaf_##suffix(float a, float b, float c) {    \
    return __fma_##suffix(a, b, c);                            \
  }                                                            \
  inline double __fma_##suffix(double a, double b, double c) { \
    return __dma_##suffix(a, b, c);                            \
  }

EMULATION_FMA(rn)
EMULATION_FMA(rd)
EMULATION_FMA(ru)
EMULATION_FMA(rz)

#undef EMULATION_FMA

inline float __int_as_float(int bits) {
  return std::bit_cast<float>(bits);
}
inline float __uint_as_float(unsigned bits) {
  return std::bit_cast<float>(bits);
}
inline int __float_as_int(float value) {
  return std::bit_cast<int>(value);
}
inline unsigned __float_as_uint(float value) {
  return std::bit_cast<unsigned>(value);
}
inline long long __double_as_longlong(double value) {
  return std::bit_cast<long long>(value);
}
inline double __longlong_as_double(long long bits) {
  return std::bit_cast<double>(bits);
}
inline int __popc(unsigned bits) {
  return std::popcount(bits);
}
inline int __popcll(unsigned long long bits) {
  return std::popcount(bits);
}
inline int __clz(int bits) {
  return std::countl_zero(static_cast<unsigned>(bits));
}
inline int __ffs(int bits) {
  return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned>(bits)) + 1;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((uint64_t{a} * b) >> 32);
}

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T __ldcs(const T* from) {
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return *from;
}
template <class T>
void __stcs(T* to, T value) {
  *to = value;
}
template <class T>
void __stcg(T* to, T value) {
  *to = value;
}

template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}

// Fibres take turns at barriers only, so every read and write is atomic.
template <class T, class Operation>
T emulation_atomic(T* at, Operation operation) {
  const T old = *at;
  *at = operation(old);
  return old;
}
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicSub(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return static_cast<T>(old - value); });
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return max<T>(old, value); });
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return min<T>(old, value); });
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return static_cast<T>(old | value); });
}
template <class T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return static_cast<T>(old & value); });
}
template <class T>
T atomicXor(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return static_cast<T>(old ^ value); });
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return emulation_atomic(at, [=](T old) { return old == compare ? value : old; });
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __trap() {
  emulation::machine().fail("the kernel traps");
}
