// The groups that kernels use: the block, and the cluster with its distributed shared memory.
#pragma once

#include "machine.h"

namespace cooperative_groups {

using emulation::machine;
using emulation::Place;

class thread_block {
 public:
  static void sync(Place place = Place::current()) { machine().block_barrier(false, place); }
  static unsigned thread_rank() { return machine().current().rank; }
  static unsigned num_threads() { return static_cast<unsigned>(machine().current().block->fibres.size()); }
  static unsigned size() { return num_threads(); }
};

class cluster_group {
 public:
  struct arrival_token {};

  static arrival_token barrier_arrive(Place place = Place::current()) {
    machine().cluster_arrive(place);
    return {};
  }
  static void barrier_wait(Place place = Place::current()) { machine().cluster_wait(place); }
  static void barrier_wait(arrival_token&&, Place place = Place::current()) { machine().cluster_wait(place); }
  static void sync(Place place = Place::current()) {
    machine().cluster_arrive(place);
    machine().cluster_wait(place);
  }
  static unsigned block_rank() { return machine().current().block->rank; }
  static unsigned num_blocks() { return machine().blocks_in_cluster(); }

  template <class T>
  static T* map_shared_rank(T* own, unsigned rank) {
    return static_cast<T*>(machine().remote_shared(own, rank));
  }
};

inline thread_block this_thread_block() {
  return {};
}
inline cluster_group this_cluster() {
  return {};
}

}  // namespace cooperative_groups
