// The instructions that every machine of this architecture has.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels.h"
#include "pictures.h"

namespace featlab::baseline {
#include "kernels.inc"
#include "pictures.inc"
}  // namespace featlab::baseline
