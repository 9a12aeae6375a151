// Which of the compiled instruction sets serves this machine.
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace featlab {

enum class Isa { kBaseline, kAvx2, kAvx512 };

inline const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

inline Isa machine_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx2 && avx512 ? Isa::kAvx512 : (avx2 ? Isa::kAvx2 : Isa::kBaseline);
#else
  return Isa::kBaseline;
#endif
}

// The machine's best, or what the environment variable FEATLAB_ISA names if the machine has it.
inline Isa chosen_isa() {
  const Isa best = machine_isa();
  const char* wanted = std::getenv("FEATLAB_ISA");
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2}) {
    if (wanted != nullptr && std::strcmp(wanted, isa_name(isa)) == 0 && isa < best) {
      return isa;
    }
  }
  return best;
}

}  // namespace featlab
