// Barriers of a block, and what the lanes of a warp do together.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "machine.h"

namespace emulation {

template <class T>
uint64_t packed(T value) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

// Lane `source` of what the lanes brought. A lane that takes no part has no value.
template <class T>
T taken(const Exchange& exchange, unsigned source, const Place& place) {
  if ((exchange.present >> source & 1U) == 0) {
    machine().fail("a lane reads from lane " + std::to_string(source) + ", which takes no part (" + text_of(place) +
                   ")");
  }
  T value;
  std::memcpy(&value, &exchange.value[source], sizeof(T));
  return value;
}

// `offset` within the segment of `width` lanes, or the lane's own value where that would leave it.
template <class T>
T shuffled(uint32_t mask, T value, int width, const Place& place, int (*source_of)(int, int), int argument) {
  const Exchange exchange = machine().exchange(mask, packed(value), place);
  const int lane = static_cast<int>(machine().current().lane()), first = lane / width * width;
  const int source = source_of(lane - first, argument);
  return taken<T>(exchange, static_cast<unsigned>(source >= 0 && source < width ? first + source : lane), place);
}

}  // namespace emulation

template <class T>
T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, emulation::Place place = emulation::Place::current()) {
  return emulation::shuffled(mask, value, width, place, [](int, int to) { return to; }, lane & (width - 1));
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned by, int width = 32,
                   emulation::Place place = emulation::Place::current()) {
  return emulation::shuffled(mask, value, width, place, [](int own, int add) { return own + add; }, int(by));
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned by, int width = 32,
                 emulation::Place place = emulation::Place::current()) {
  return emulation::shuffled(mask, value, width, place, [](int own, int less) { return own - less; }, int(by));
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int flip, int width = 32,
                  emulation::Place place = emulation::Place::current()) {
  return emulation::shuffled(mask, value, width, place, [](int own, int bits) { return own ^ bits; }, flip);
}

inline unsigned __ballot_sync(uint32_t mask, int vote, emulation::Place place = emulation::Place::current()) {
  const emulation::Exchange exchange = emulation::machine().exchange(mask, vote != 0, place);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < emulation::kLanes; ++lane) {
    votes |= (exchange.present >> lane & 1U) != 0 && exchange.value[lane] != 0 ? 1U << lane : 0U;
  }
  return votes;
}
inline int __any_sync(uint32_t mask, int vote, emulation::Place place = emulation::Place::current()) {
  return __ballot_sync(mask, vote, place) != 0;
}
inline int __all_sync(uint32_t mask, int vote, emulation::Place place = emulation::Place::current()) {
  return __ballot_sync(mask, vote == 0, place) == 0;
}
template <class T>
unsigned __match_any_sync(uint32_t mask, T value, emulation::Place place = emulation::Place::current()) {
  const emulation::Exchange exchange = emulation::machine().exchange(mask, emulation::packed(value), place);
  unsigned equal = 0;
  for (unsigned lane = 0; lane < emulation::kLanes; ++lane) {
    const bool present = (exchange.present >> lane & 1U) != 0;
    equal |= present && exchange.value[lane] == emulation::packed(value) ? 1U << lane : 0U;
  }
  return equal;
}
inline void __syncwarp(uint32_t mask = 0xFFFFFFFFU, emulation::Place place = emulation::Place::current()) {
  emulation::machine().exchange(mask, 0, place);
}

inline void __syncthreads(emulation::Place place = emulation::Place::current()) {
  emulation::machine().block_barrier(false, place);
}
inline int __syncthreads_count(int vote, emulation::Place place = emulation::Place::current()) {
  return static_cast<int>(emulation::machine().block_barrier(vote != 0, place));
}
inline int __syncthreads_or(int vote, emulation::Place place = emulation::Place::current()) {
  return __syncthreads_count(vote != 0, place) != 0;
}
inline int __syncthreads_and(int vote, emulation::Place place = emulation::Place::current()) {
  return __syncthreads_count(vote == 0, place) == 0;
}
