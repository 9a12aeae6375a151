// Copies to shared memory that the thread need not wait for. They happen when it waits: what is read before is NaN.
#pragma once

#include <cstddef>

#include "machine.h"

inline void __pipeline_memcpy_async(void* to, const void* from, size_t size, size_t zeros = 0) {
  const bool aligned = (reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % size == 0;
  if (!aligned || (size != 4 && size != 8 && size != 16)) {
    emulation::machine().fail("an asynchronous copy is one of 4, 8 or 16 bytes, aligned to as much");
  }
  emulation::machine().current().copies.push_back({to, from, size - zeros, zeros});
}

inline void __pipeline_commit() {
  emulation::machine().commit_copies();
}

inline void __pipeline_wait_prior(size_t groups) {
  emulation::machine().wait_for_copies(groups);
}
