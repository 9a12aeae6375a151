#include "machine.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulation {

Machine& machine() {
  static Machine the_machine;
  return the_machine;
}

void Machine::run(const Launch& launch) {
  launch_ = &launch;
  blockDim = launch.block;
  gridDim = launch.grid;
  error.clear();
  sites_.clear();
  static_size_ = 0;
  random_.seed(order);
  const unsigned blocks = launch.grid.x * launch.grid.y * launch.grid.z;
  std::vector<unsigned> firsts(blocks / launch.cluster);
  for (unsigned i = 0; i < firsts.size(); ++i) {
    firsts[order == 1 ? firsts.size() - 1 - i : i] = i * launch.cluster;
  }
  if (order > 1) {
    std::shuffle(firsts.begin(), firsts.end(), random_);
  }
  for (const unsigned first : firsts) {
    run_cluster(first);
    current_ = nullptr;
    if (!error.empty()) {
      pool_.clear();  // its fibres hang somewhere inside the kernel
      return;
    }
  }
}

void Machine::run_cluster(unsigned first) {
  std::vector<Fibre*> fibres = prepare(first);
  if (order == 1) {
    std::reverse(fibres.begin(), fibres.end());
  }
  while (run_round(fibres)) {
    if (order > 1) {
      std::shuffle(fibres.begin(), fibres.end(), random_);
    }
  }
  if (error.empty() && mapped_turn_ == cluster_turn_ + 1) {
    error =
        "a block may end while another block of its cluster uses its shared memory: no cluster barrier after the use";
  }
}

// Gives each fibre that can run its turn; says whether any can go on.
bool Machine::run_round(std::vector<Fibre*>& fibres) {
  bool moved = false, alive = false;
  for (Fibre* each : fibres) {
    if (each->wait == Wait::kNothing) {
      resume(*each);
      moved = true;
      if (!error.empty()) {
        return false;
      }
    }
    alive |= each->wait != Wait::kEnded;
  }
  if (alive && !moved) {
    error = stuck(fibres);
  }
  return alive && moved;
}

std::string Machine::stuck(const std::vector<Fibre*>& fibres) const {
  std::map<std::string, int> counts;
  for (const Fibre* each : fibres) {
    const std::string where = each->wait == Wait::kEnded ? "" : " (" + text_of(each->place) + ")";
    ++counts[text_of(each->wait) + where];
  }
  std::string text = "no thread can go on";
  for (const auto& [what, count] : counts) {
    text += "; " + std::to_string(count) + " " + what;
  }
  return text;
}

std::vector<Fibre*> Machine::prepare(unsigned first) {
  cluster_.resize(launch_->cluster);
  cluster_arrived_ = 0;
  cluster_turn_ = mapped_turn_ = 0;
  std::vector<Fibre*> fibres;
  for (unsigned rank = 0; rank < launch_->cluster; ++rank) {
    prepare(cluster_[rank], first + rank, rank);
    fibres.insert(fibres.end(), cluster_[rank].fibres.begin(), cluster_[rank].fibres.end());
  }
  return fibres;
}

// Memory starts as NaN, so that what is read before it is written shows.
void Machine::prepare(Block& block, unsigned number, unsigned rank) {
  const dim3 grid = launch_->grid, size = launch_->block;
  block.index = {number % grid.x, number / grid.x % grid.y, number / grid.x / grid.y};
  block.rank = rank;
  block.arrived = block.votes = 0;
  block.memory.resize((launch_->dynamic + kStaticShared) / sizeof(Line) + 1);
  std::memset(block.at(0), 0xFF, launch_->dynamic + static_size_);
  block.fibres.clear();
  const unsigned threads = size.x * size.y * size.z;
  for (unsigned i = 0; i < threads; ++i) {
    Fibre& each = fibre(size_t{rank} * threads + i);
    each.block = &block;
    each.index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    each.rank = i;
    each.wait = Wait::kNothing;
    each.turn = 0;
    block.fibres.push_back(&each);
  }
}

// A fibre is made once and then runs one thread after another. Stacks are never returned: they are few and reused.
Fibre& Machine::fibre(size_t number) {
  static std::vector<void*> stacks;
  while (pool_.size() <= number) {
    if (stacks.size() == pool_.size()) {
      stacks.push_back(
          mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    }
    auto made = std::make_unique<Fibre>();
    getcontext(&made->entry);
    made->entry.uc_stack = {stacks[pool_.size()], 0, kStack};
    made->entry.uc_link = nullptr;
    makecontext(&made->entry, &Machine::enter, 0);
    pool_.push_back(std::move(made));
  }
  return *pool_[number];
}

void Machine::enter() {
  for (;;) {
    machine().launch_->body();
    machine().end();
  }
}

void Machine::end() {
  Fibre& own = *current_;
  own.wait = Wait::kEnded;
  for (Fibre* other : own.block->fibres) {
    if (other->rank / kLanes == own.rank / kLanes && other->wait == Wait::kWarp) {
      try_release(*own.block, *other);
    }
  }
  suspend(Wait::kEnded, Place::current());
}

__attribute__((noinline)) void Machine::resume(Fibre& next) {
  current_ = &next;
  threadIdx = next.index;
  blockIdx = next.block->index;
  if (_setjmp(scheduler_) == 0) {
    if (next.started) {
      _longjmp(next.context, 1);
    }
    next.started = true;
    setcontext(&next.entry);
  }
}

__attribute__((noinline)) void Machine::suspend(Wait wait, const Place& place) {
  current_->wait = wait;
  current_->place = place;
  if (_setjmp(current_->context) == 0) {
    _longjmp(scheduler_, 1);
  }
}

void Machine::fail(const std::string& why) {
  if (current_ == nullptr) {
    std::fprintf(stderr, "%s, outside a kernel\n", why.c_str());
    std::abort();
  }
  error = why;
  _longjmp(scheduler_, 1);
}

Exchange Machine::exchange(uint32_t mask, uint64_t brought, const Place& place) {
  Fibre& own = *current_;
  if ((mask >> own.lane() & 1U) == 0) {
    fail("a lane calls a warp function whose mask leaves it out (" + text_of(place) + ")");
  }
  own.mask = mask;
  own.brought = brought;
  own.wait = Wait::kWarp;
  own.place = place;
  try_release(*own.block, own);
  if (own.wait == Wait::kWarp) {
    suspend(Wait::kWarp, place);
  }
  return own.exchange;
}

// Lets the lanes go on that wait with this one, if all that the mask names have come or have ended.
void Machine::try_release(Block& block, Fibre& waiting) {
  const unsigned first = waiting.rank / kLanes * kLanes;
  const unsigned last = std::min<unsigned>(first + kLanes, block.fibres.size());
  Exchange exchange = {};
  for (unsigned i = first; i < last; ++i) {
    const Fibre& other = *block.fibres[i];
    if ((waiting.mask >> other.lane() & 1U) == 0 || other.wait == Wait::kEnded) {
      continue;
    }
    if (other.wait != Wait::kWarp || other.mask != waiting.mask || !same(other.place, waiting.place)) {
      return;
    }
    exchange.present |= 1U << other.lane();
    exchange.value[other.lane()] = other.brought;
  }
  for (unsigned i = first; i < last; ++i) {
    if ((exchange.present >> (i - first) & 1U) != 0) {
      block.fibres[i]->exchange = exchange;
      block.fibres[i]->wait = Wait::kNothing;
    }
  }
}

// Returns how many threads voted for.
unsigned Machine::block_barrier(bool vote, const Place& place) {
  Fibre& own = *current_;
  Block& block = *own.block;
  block.votes += vote ? 1 : 0;
  own.place = place;
  if (++block.arrived < block.fibres.size()) {
    suspend(Wait::kBlock, place);
    return own.votes;
  }
  for (Fibre* other : block.fibres) {
    if (!same(other->place, place)) {
      fail("the threads of a block wait at different barriers: " + text_of(other->place) + " and " + text_of(place));
    }
    other->wait = Wait::kNothing;
    other->votes = block.votes;
  }
  block.arrived = block.votes = 0;
  return own.votes;
}

void Machine::cluster_arrive(const Place& place) {
  Fibre& own = *current_;
  if (own.turn > cluster_turn_) {
    fail("a thread arrives twice at one cluster barrier (" + text_of(place) + ")");
  }
  own.turn = cluster_turn_ + 1;
  const unsigned threads = launch_->cluster * static_cast<unsigned>(own.block->fibres.size());
  if (++cluster_arrived_ < threads) {
    return;
  }
  cluster_arrived_ = 0;
  ++cluster_turn_;
  for (const Block& block : cluster_) {
    for (Fibre* other : block.fibres) {
      other->wait = other->wait == Wait::kCluster ? Wait::kNothing : other->wait;
    }
  }
}

void Machine::cluster_wait(const Place& place) {
  if (current_->turn == 0) {
    fail("a thread waits at a cluster barrier that it has not arrived at (" + text_of(place) + ")");
  }
  if (current_->turn > cluster_turn_) {
    suspend(Wait::kCluster, place);
  }
}

// The same offset in every block, so that another block's variable can be found.
void* Machine::shared(const void* site, size_t size) {
  const auto found = sites_.find(site);
  if (found != sites_.end()) {
    return current_->block->at(found->second);
  }
  const size_t offset = (launch_->dynamic + static_size_ + sizeof(Line) - 1) / sizeof(Line) * sizeof(Line);
  static_size_ = offset + size - launch_->dynamic;
  if (static_size_ > kStaticShared) {
    fail("a kernel declares more than 48 KB of static shared memory");
  }
  sites_[site] = offset;
  for (Block& block : cluster_) {
    std::memset(block.at(offset), 0xFF, size);
  }
  return current_->block->at(offset);
}

void* Machine::remote_shared(void* own, unsigned rank) {
  Block& block = *current_->block;
  const auto offset = static_cast<unsigned char*>(own) - block.at(0);
  if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(block.memory.size() * sizeof(Line)) ||
      rank >= launch_->cluster) {
    fail("map_shared_rank wants an address in this block's shared memory and a rank in the cluster");
  }
  if (cluster_turn_ == 0) {
    fail("another block's shared memory is used before a cluster barrier says that the block has started");
  }
  mapped_turn_ = cluster_turn_ + 1;
  return cluster_[rank].at(offset);
}

}  // namespace emulation

// What -fsanitize=alignment,bounds calls. Both records begin with the place.
extern "C" {

struct SanitizedPlace {
  const char* file;
  uint32_t line, column;
};

[[noreturn]] static void sanitized(const char* what, const SanitizedPlace* place) {
  const std::string file = place->file;
  emulation::machine().fail(what + file.substr(file.rfind('/') + 1) + ":" + std::to_string(place->line));
}

void __ubsan_handle_type_mismatch_v1(const SanitizedPlace* place, uintptr_t) {
  sanitized("an address is null or misaligned at ", place);
}

void __ubsan_handle_out_of_bounds(const SanitizedPlace* place, uintptr_t) {
  sanitized("an index is out of bounds at ", place);
}
}
