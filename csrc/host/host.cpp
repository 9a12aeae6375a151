// featlab._host: what the machine is, and a Philox to compare others with. Knows nothing of PyTorch.
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <cstdint>

#include "../common/isa.h"
#include "../common/normal.h"
#include "../common/philox.h"

namespace py = pybind11;

namespace {

py::tuple philox_words(uint64_t seed, int64_t example, uint32_t restart, uint32_t purpose, uint32_t block) {
  const featlab::Stream stream = {seed, static_cast<uint64_t>(example), restart, purpose};
  const featlab::Words words = featlab::draw(stream, block);
  return py::make_tuple(words.word[0], words.word[1], words.word[2], words.word[3]);
}

py::tuple philox_block(py::tuple counter, py::tuple key) {
  featlab::Words words{};
  for (std::size_t i = 0; i < 4; ++i) {
    words.word[i] = counter[i].cast<uint32_t>();
  }
  words = featlab::philox(words, key[0].cast<uint32_t>(), key[1].cast<uint32_t>());
  return py::make_tuple(words.word[0], words.word[1], words.word[2], words.word[3]);
}

py::tuple normal_pair(uint32_t radius_word, uint32_t angle_word) {
  const featlab::Pair pair = featlab::normal_pair(radius_word, angle_word);
  return py::make_tuple(pair.first, pair.second);
}

py::dict caches() {
  py::dict sizes;
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  sizes["l1d"] = sysconf(_SC_LEVEL1_DCACHE_SIZE);
  sizes["l2"] = sysconf(_SC_LEVEL2_CACHE_SIZE);
  sizes["l3"] = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  return sizes;
}

py::dict build() {
  py::dict facts;
  facts["compiler"] = __VERSION__;
  facts["cplusplus"] = static_cast<long>(__cplusplus);
  facts["pybind11"] = PYBIND11_TOSTRING(PYBIND11_VERSION_MAJOR) "." PYBIND11_TOSTRING(PYBIND11_VERSION_MINOR);
  return facts;
}

}  // namespace

PYBIND11_MODULE(_host, module) {
  module.doc() = "Facts about the machine and the build, and the random numbers of the kernels.";
  module.def("isa", [] { return featlab::isa_name(featlab::chosen_isa()); }, "The instruction set in use.");
  module.def("machine_isa", [] { return featlab::isa_name(featlab::machine_isa()); }, "The best that the machine has.");
  module.def("caches", &caches, "Cache sizes in bytes; 0 where unknown.");
  module.def("build", &build, "What this module was compiled with.");
  module.def("philox", &philox_block, py::arg("counter"), py::arg("key"), "Ten rounds of Philox4x32.");
  module.def("words", &philox_words, py::kw_only(), py::arg("seed"), py::arg("example"), py::arg("restart"),
             py::arg("purpose"), py::arg("block"), "The four words of a block of elements.");
  module.def("normal_pair", &normal_pair, py::arg("radius_word"), py::arg("angle_word"),
             "Two standard normal numbers from two words.");
}
