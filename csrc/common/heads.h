// What logits become under a loss: its value, and how it changes with each logit. Shared by the CPU and CUDA kernels.
//
// All losses are made of three things: the label's logit, the largest of the others, and, for the smooth ones, the sum
// of exp over the others. Scalars are double.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "portable.h"
#include "rounding.h"

namespace featlab {

enum class Loss : int { kCrossEntropy, kLogRatio, kMargin, kDlr, kDlrTargeted };

FEATLAB_FN bool is_smooth(Loss loss) {
  return loss == Loss::kCrossEntropy || loss == Loss::kLogRatio;
}

FEATLAB_FN bool needs_order(Loss loss) {
  return loss == Loss::kDlr || loss == Loss::kDlrTargeted;
}

constexpr float kNoLogit = -std::numeric_limits<float>::infinity();

struct Logit {
  float value = kNoLogit;
  int64_t index = -1;  // none yet
};

// Whether `a` stands before `b` where logits are ordered, the largest first; among equals the lowest index.
FEATLAB_FN bool before(const Logit& a, const Logit& b) {
  return b.index < 0 || a.value > b.value || (a.value == b.value && a.index < b.index);
}

// The four largest logits, in order.
struct Top {
  Logit at[4];
};

// Inserts `next`; a logit without an index is none.
FEATLAB_FN void insert(Top& top, Logit next) {
  for (int place = 0; place < 4; ++place) {
    const bool moves = next.index >= 0 && before(next, top.at[place]);
    const Logit present = top.at[place];
    top.at[place] = moves ? next : present;
    next = moves ? present : next;
  }
}

// What one pass over an example's logits finds. NaN and +infinity have no loss.
struct Found {
  Logit other;   // the largest but for the label's
  Logit answer;  // the model's: as argmax has it, NaN before all numbers
  Top top;
  bool broken = false;
};

FEATLAB_FN bool is_nan(float value) {
  return !(value == value);
}

FEATLAB_FN void answer_with(Found& found, Logit next) {
  const Logit best = found.answer;
  const bool nan = is_nan(next.value), was_nan = is_nan(best.value);
  const bool tied = (nan && was_nan) || next.value == best.value;
  const bool wins = (nan && !was_nan) || (!was_nan && next.value > best.value) || (tied && next.index < best.index);
  found.answer = next.index >= 0 && (best.index < 0 || wins) ? next : best;
}

FEATLAB_FN void look_at(Found& found, Logit next, int64_t label, bool order) {
  found.broken = found.broken || !(next.value <= kFloatMax);
  answer_with(found, next);
  if (next.index != label && before(next, found.other)) {
    found.other = next;
  }
  if (order) {
    insert(found.top, next);
  }
}

// e^x for x <= 0, to the last bit or two, subnormal results included: x = k ln 2 + r, and a polynomial in r.
FEATLAB_FN float exp_nonpositive(float x) {
  const float bounded = x < -104.0F ? -104.0F : x;
  const float k = (bounded * 1.44269504F + 12582912.0F) - 12582912.0F;  // 1.5 * 2^23: rounds to an integer
  const float r = (bounded - k * 0.693359375F) - k * -2.12194440e-4F;   // ln 2 in two parts
  float series = 1.0F / 5040;
  series = series * r + 1.0F / 720;
  series = series * r + 1.0F / 120;
  series = series * r + 1.0F / 24;
  series = series * r + 1.0F / 6;
  series = series * r + 0.5F;
  series = (series * r) * r + r;
  const int32_t whole = static_cast<int32_t>(k);
  const int32_t half = whole / 2;
  const float first = bits_as<float>((half + 127) << 23), second = bits_as<float>((whole - half + 127) << 23);
  return x < -104.0F ? 0.0F : ((series + 1.0F) * first) * second;
}

constexpr int kTerms = 5;

// The loss, and its derivative by each logit: `smooth` times exp(logit - other) for all classes but the label, plus the
// terms of a few classes.
struct Cotangent {
  double loss;
  double smooth;
  int64_t index[kTerms];
  double value[kTerms];
};

FEATLAB_FN double derivative(const Cotangent& by, int64_t index, int64_t label, float weight) {
  const bool spared = index == label && by.smooth == by.smooth;
  double sum = spared ? 0.0 : by.smooth * static_cast<double>(weight);
  for (int term = 0; term < kTerms; ++term) {
    sum += by.index[term] == index ? by.value[term] : 0.0;
  }
  return sum;
}

FEATLAB_FN double not_a_number() {
  return static_cast<double>(bits_as<float>(0x7FC00000));
}

// What exp is taken relative to.
FEATLAB_FN float shift_of(const Found& found) {
  return found.other.value >= -kFloatMax ? found.other.value : 0.0F;
}

// `ratio` is log((1 - p_y) / p_y), of which cross-entropy is the softplus.
FEATLAB_FN Cotangent smooth_cotangent(Loss loss, double ratio, double sum, int64_t label) {
  const double lower = exp(-fabs(ratio));
  const double wrong = ratio > 0.0 ? 1.0 / (1.0 + lower) : lower / (1.0 + lower);  // 1 - p_y
  const bool entropy = loss == Loss::kCrossEntropy;
  const double share = entropy ? wrong : 1.0;
  const double value = entropy ? (ratio > 0.0 ? ratio : 0.0) + log1p(lower) : ratio;
  return {value, sum > 0.0 ? share / sum : 0.0, {label, -1, -1, -1, -1}, {-share, 0.0, 0.0, 0.0, 0.0}};
}

// (z_up - z_y) / (z_(1) - z_(3)), or targeted (z_up - z_y) / (z_(1) - (z_(3) + z_(4)) / 2). Where a tie would divide by
// zero, the divisor is held at 1e-12 and does not change with the logits.
FEATLAB_FN Cotangent ratio_cotangent(double margin, int64_t up, int64_t label, const Top& top, bool targeted) {
  const double third = static_cast<double>(top.at[2].value), fourth = static_cast<double>(top.at[3].value);
  const double range = static_cast<double>(top.at[0].value) - (targeted ? (third + fourth) / 2.0 : third);
  const bool held = range < 1e-12;
  const double scale = held ? 1e12 : 1.0 / range;
  const double pull = held ? 0.0 : margin * scale * scale;
  const double half = targeted ? pull / 2.0 : pull;
  return {margin * scale,
          0.0,
          {up, label, top.at[0].index, top.at[2].index, targeted ? top.at[3].index : -1},
          {scale, -scale, -pull, half, half}};
}

// `sum` is that of exp(logit - shift) over all classes but the label; kDlrTargeted alone reads `target`.
FEATLAB_FN Cotangent cotangent_of(Loss loss, const Found& found, float own, double sum, int64_t label, Logit target) {
  const double margin = static_cast<double>(found.other.value) - static_cast<double>(own);
  if (found.broken) {
    return {not_a_number(), not_a_number(), {-1, -1, -1, -1, -1}, {}};
  }
  if (is_smooth(loss)) {
    const double shifted = static_cast<double>(shift_of(found)) - static_cast<double>(own);
    return smooth_cotangent(loss, shifted + log(sum), sum, label);
  }
  if (loss == Loss::kMargin) {
    return {margin, 0.0, {found.other.index, label, -1, -1, -1}, {1.0, -1.0, 0.0, 0.0, 0.0}};
  }
  if (loss == Loss::kDlr) {
    return ratio_cotangent(margin, found.other.index, label, found.top, false);
  }
  const double away = static_cast<double>(target.value) - static_cast<double>(own);
  return ratio_cotangent(away, target.index, label, found.top, true);
}

}  // namespace featlab
