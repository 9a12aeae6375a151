// Projections on a ball and the box, and choices of the largest, by formulas that the CPU and the CUDA kernels share.
#pragma once

#include <cmath>
#include <cstdint>

#include "steps.h"

namespace featlab {

// One whole number for all examples (the stride is 0), or one each.
struct Counts {
  const int64_t* data;
  int64_t stride;
};

// Distances beyond are taken for this one, so that squares and differences of infinite points stay numbers.
constexpr double kFar = 1e150;

// How far a point is from the center, and how far the box lets the center move in its direction. T is double, or a
// vector of doubles.
template <class T>
struct Reach {
  T distance, room;
};

// The larger and the smaller of two, in the forms that are one instruction; of a NaN, b is what remains.
template <class T>
FEATLAB_FN T larger(T a, T b) {
  return a > b ? a : b;
}

template <class T>
FEATLAB_FN T smaller(T a, T b) {
  return a < b ? a : b;
}

template <class T>
FEATLAB_FN Reach<T> reach_of(T offset, T center, Box box) {
  const T high = static_cast<double>(box.high) - center, low = center - static_cast<double>(box.low);
  const T room = offset > T{} ? high : low;
  return {larger(-offset, offset), larger(T{}, room)};
}

template <class T>
FEATLAB_FN Reach<T> near_reach_of(T offset, T center, Box box) {
  const Reach<T> reach = reach_of(offset, center, box);
  return {smaller(T{} + kFar, reach.distance), reach.room};
}

// min(max(distance - lambda, 0), room); NaN stays NaN.
template <class T>
FEATLAB_FN T l1_within(const Reach<T>& reach, double lambda) {
  return smaller(reach.room, larger(T{}, reach.distance - lambda));
}

// How much l1_within falls where lambda grows: by one or not at all.
template <class T>
FEATLAB_FN T l1_slope(const Reach<T>& reach, double lambda) {
  const T over = reach.distance - lambda;
  return (over > T{}) & (over < reach.room) ? T{} + 1.0 : T{};
}

template <class T>
FEATLAB_FN T l2_within(const Reach<T>& reach, double scale) {
  return smaller(reach.room, scale * reach.distance);
}

// The sum over an example at one lambda, and how many values make its slope there.
struct Level {
  double sum, slope;
};

// The root of sum_i l1_within(i, lambda) = limit by Newton's method: the sum falls in linear pieces. [left, right]
// brackets the root; a guess outside it, or three guesses that did not halve it, are followed by a bisection.
struct Search {
  double limit, left, right, lambda, width;
  int guesses;
  bool found;
};

constexpr int kMostGuesses = 200;

// `farthest` is the largest distance: there the sum is zero.
FEATLAB_FN Search search_of(double limit, double farthest) {
  const double right = farthest < kFar ? farthest : kFar;
  return {limit, 0.0, right, 0.0, right, 0, false};
}

FEATLAB_FN double middle_of(const Search& search) {
  return search.left + 0.5 * (search.right - search.left);
}

// Takes the level at `lambda` and moves `lambda` on, unless it is the root: a hair above the limit is within what the
// limit was shrunk by. Where the bracket can shrink no more, `right` is on the safe side. NaN spoils its example.
FEATLAB_FN void narrow(Search& search, const Level& level) {
  const double excess = level.sum - search.limit;
  if (!(fabs(excess) > search.limit * 0x1p-30)) {
    search.found = true;
    search.lambda = level.sum == level.sum ? search.lambda : level.sum;
    return;
  }
  (excess > 0.0 ? search.left : search.right) = search.lambda;
  search.guesses += 1;
  double next = search.lambda + excess / level.slope;
  if (search.guesses % 3 == 0) {
    const double width = search.right - search.left;
    next = width > 0.5 * search.width ? middle_of(search) : next;
    search.width = width;
  }
  next = next > search.left && next < search.right ? next : middle_of(search);
  search.found = !(next > search.left && next < search.right) || search.guesses >= kMostGuesses;
  search.lambda = search.found ? search.right : next;
}

// center + sign(offset) * within, rounded towards the center, cut to the box.
FEATLAB_FN float place(double offset, double within, float center, Box box) {
  return clip(add_toward(center, offset > 0.0 ? within : -within), box);
}

FEATLAB_FN float l1_apply(double lambda, float point, float center, Box box) {
  const double middle = static_cast<double>(center), offset = static_cast<double>(point) - middle;
  return place(offset, l1_within(near_reach_of(offset, middle, box), lambda), center, box);
}

// Squares over an example: of the distances that are free at one scale, and of the rooms that are used up.
struct Split {
  double free, full;
};

// The next guess at the root of sum_i l2_within(i, scale)^2 = limit^2. The sum is concave in scale^2, so that Newton's
// guesses from the left only grow; the root is found when they no longer do.
FEATLAB_FN double l2_next_scale(const Split& split, double limit, double scale) {
  const double left = limit * limit - split.full;
  const double next = split.free > 0.0 && left > 0.0 ? sqrt(left / split.free) : scale;
  return next > scale ? (next < 1.0 ? next : 1.0) : scale;
}

FEATLAB_FN float l2_box_apply(double scale, float point, float center, Box box) {
  const double middle = static_cast<double>(center), offset = static_cast<double>(point) - middle;
  return place(offset, l2_within(near_reach_of(offset, middle, box), scale), center, box);
}

// Keys order what is chosen from: a key of 0 is never chosen. The bits of a positive number grow with it.
template <class T>
struct KeyOf;
template <>
struct KeyOf<float> {
  using type = uint32_t;
};
template <>
struct KeyOf<double> {
  using type = uint64_t;
};

template <class T>
FEATLAB_FN typename KeyOf<T>::type key_of(T value) {
  const T magnitude = value < T(0) ? -value : value;
  return magnitude > T(0) ? bits_as<typename KeyOf<T>::type>(magnitude) : 0;
}

// The key of a gradient: 0 where it is NaN, or points out of the box at a point on its bound.
template <class G>
FEATLAB_FN typename KeyOf<G>::type uphill_key(G grad, float point, Box box) {
  const bool out = (grad > G(0) && point >= box.high) || (grad < G(0) && point <= box.low);
  return out ? 0 : key_of(grad);
}

// The keys above `least` are chosen, and of those equal to it the ones up to the index `last`.
template <class Key>
struct Choice {
  Key least;
  int64_t last, number;
};

template <class Key>
FEATLAB_FN bool is_chosen(const Choice<Key>& choice, Key key, int64_t index) {
  return key > choice.least || (key == choice.least && index <= choice.last);
}

// What the nearest point that differs in few values gains by one of them: d^2 - (d - cut d)^2.
template <class T>
FEATLAB_FN T l0_gain(T offset, T center, Box box) {
  const Reach<T> reach = near_reach_of(offset, center, box);
  const T change = smaller(reach.distance, reach.room);
  return change * (2.0 * reach.distance - change);
}

FEATLAB_FN double l0_gain_at(float point, float center, Box box) {
  const double middle = static_cast<double>(center);
  return l0_gain(static_cast<double>(point) - middle, middle, box);
}

FEATLAB_FN float l0_apply(bool kept, float point, float center, Box box) {
  return clip(kept || point == center ? point : center, box);
}

// The point after a step, before it is projected.
FEATLAB_FN float moved_by(float point, double travel) {
  return static_cast<float>(static_cast<double>(point) + travel);
}

// Standard exponential numbers; the lowest bit of a word is left for a sign.
FEATLAB_FN double exponential(uint32_t word) {
  return -log_unit((static_cast<double>(word >> 1) + 0.5) * 0x1p-31);
}

// In units of 2^-32, rounded up: sums of these are the same in whatever order they are taken.
FEATLAB_FN int64_t fixed_point(double positive) {
  return static_cast<int64_t>(positive * 0x1p32) + 1;
}

// The factor of the exponentials, of which `total` are all and the one beyond the ball's surface.
FEATLAB_FN double l1_sample_scale(int64_t total, float eps) {
  return static_cast<double>(eps) * kShrink / (static_cast<double>(total) * 0x1p-32);
}

FEATLAB_FN float l1_draw(uint32_t word, double scale, float center, Box box) {
  const double spacing = exponential(word);
  return clip(add_toward(center, ((word & 1U) != 0 ? -spacing : spacing) * scale), box);
}

FEATLAB_FN uint32_t word_of(const Stream& stream, int64_t i) {
  const Words words = draw(stream, static_cast<uint32_t>(i / 4));
  const uint32_t low = (i & 1) != 0 ? words.word[1] : words.word[0];
  const uint32_t high = (i & 1) != 0 ? words.word[3] : words.word[2];
  return (i & 2) != 0 ? high : low;
}

// Every group has its random key; the largest are the subset.
FEATLAB_FN uint64_t subset_key(uint32_t word) {
  return uint64_t{1} + word;
}

FEATLAB_FN uint64_t subset_key(const Stream& stream, int64_t group) {
  return subset_key(word_of(stream, group));
}

FEATLAB_FN float l0_draw(bool chosen, const Stream& uniform, int64_t i, float center, Box box) {
  return chosen ? box_sample(word_of(uniform, i), center, box) : clip(center, box);
}

}  // namespace featlab
