// The machine that runs a launch: threads are fibres that take turns, a block at a time or a cluster at a time.
//
// A fibre runs until it waits at a barrier or for the other lanes of its warp. Where all of them wait and none can go
// on, the launch is an error that says who waits where. Nothing runs at the same time as anything else, so a race
// shows as a result that depends on the order in which fibres take turns: see `Order`.
#pragma once

#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "vector_types.h"

namespace emulation {

using Place = std::source_location;

inline std::string text_of(const Place& place) {
  const std::string file = place.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(place.line());
}

inline bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

enum class Wait { kNothing, kWarp, kBlock, kCluster, kEnded };

inline const char* text_of(Wait wait) {
  constexpr const char* kTexts[] = {"run", "wait for lanes of their warp", "wait at a block barrier",
                                    "wait at a cluster barrier", "have ended"};
  return kTexts[static_cast<int>(wait)];
}

constexpr unsigned kLanes = 32;
constexpr size_t kStack = size_t{64} << 10;
constexpr size_t kStaticShared = size_t{48} << 10;    // what nvcc allows
constexpr size_t kDynamicShared = size_t{227} << 10;  // what sm_90 allows, static memory included

// What the lanes of a warp brought to an exchange, and which of them took part.
struct Exchange {
  std::array<uint64_t, kLanes> value;
  uint32_t present;
};

struct Block;

struct Fibre {
  ucontext_t entry;
  jmp_buf context;
  bool started = false;
  Block* block = nullptr;
  uint3 index = {};
  unsigned rank = 0;  // in the block
  Wait wait = Wait::kEnded;
  Place place;
  uint32_t mask = 0;
  uint64_t brought = 0;
  Exchange exchange = {};
  unsigned votes = 0;
  uint64_t turn = 0;  // of the cluster barrier, after which this fibre goes on

  unsigned lane() const { return rank % kLanes; }
};

struct alignas(128) Line {
  unsigned char byte[128];
};

struct Block {
  uint3 index = {};
  unsigned rank = 0;  // in the cluster
  std::vector<Fibre*> fibres;
  std::vector<Line> memory;
  unsigned arrived = 0, votes = 0;

  unsigned char* at(size_t offset) { return memory.data()->byte + offset; }
};

// 0: by thread; 1: the last thread first; anything else: shuffled, anew for every round, from this seed.
using Order = uint64_t;

struct Launch {
  dim3 grid, block;
  unsigned cluster = 1;
  size_t dynamic = 0;  // bytes of dynamic shared memory, which lie before the static ones
  std::function<void()> body;
};

class Machine {
 public:
  Order order = 0;
  std::string error;

  // Runs every block; where one fails, `error` says why and the others are not run.
  void run(const Launch& launch);

  Fibre& current() { return *current_; }
  const Launch& launch() const { return *launch_; }
  unsigned blocks_in_cluster() const { return launch_->cluster; }

  [[noreturn]] void fail(const std::string& why);
  Exchange exchange(uint32_t mask, uint64_t brought, const Place& place);
  unsigned block_barrier(bool vote, const Place& place);
  void cluster_arrive(const Place& place);
  void cluster_wait(const Place& place);
  void* shared(const void* site, size_t size);
  void* dynamic_shared() { return current_->block->at(0); }
  void* remote_shared(void* own, unsigned rank);

 private:
  void run_cluster(unsigned first);
  std::vector<Fibre*> prepare(unsigned first);
  void prepare(Block& block, unsigned number, unsigned rank);
  Fibre& fibre(size_t number);
  bool run_round(std::vector<Fibre*>& fibres);
  void resume(Fibre& fibre);
  void suspend(Wait wait, const Place& place);
  void try_release(Block& block, Fibre& waiting);
  std::string stuck(const std::vector<Fibre*>& fibres) const;
  void end();
  static void enter();

  const Launch* launch_ = nullptr;
  std::vector<Block> cluster_;
  std::vector<std::unique_ptr<Fibre>> pool_;
  Fibre* current_ = nullptr;
  jmp_buf scheduler_;
  std::mt19937_64 random_;
  std::map<const void*, size_t> sites_;  // of shared variables -> offset in the memory of a block
  size_t static_size_ = 0;
  unsigned cluster_arrived_ = 0;
  uint64_t cluster_turn_ = 0, mapped_turn_ = 0;
};

Machine& machine();

}  // namespace emulation

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
