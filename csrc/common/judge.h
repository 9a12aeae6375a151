// What Auto-PGD makes of a score, one example at a time, which the CPU and the CUDA kernels share.
#pragma once

#include "portable.h"

namespace featlab {

// `windows` has `columns` columns, and rows `stride` apart; the other pointers have an entry for each row.
struct JudgeArguments {
  int64_t rows, columns, stride;
  double rho, alpha;
  const float* scores;
  const double* windows;
  int64_t* number;
  double *score, *best_score, *checked_score, *rises, *factor;
  bool *halved, *improved, *back;
  double* share;
};

// Comparisons alone and one halving: the same bits wherever it runs. A window that is not there ends nowhere.
FEATLAB_FN void judge(const JudgeArguments& a, int64_t row) {
  const int64_t number = a.number[row];
  const bool begins = number == 0;
  const double score = static_cast<double>(a.scores[row]);
  const bool improved = begins || score > a.best_score[row];
  const double best = improved ? score : a.best_score[row];
  const double checked = begins ? score : a.checked_score[row];
  const double rises = begins ? 0.0 : a.rises[row] + (score > a.score[row] ? 1.0 : 0.0);
  const double window = number >= 0 && number < a.columns ? a.windows[row * a.stride + number] : 0.0;
  const bool check = window > 0.0;
  const bool stuck = rises <= a.rho * window || (!a.halved[row] && checked >= best);
  const bool back = check && stuck;
  a.number[row] = number + 1;
  a.score[row] = begins ? 0.0 : score;
  a.best_score[row] = best;
  a.checked_score[row] = check ? best : checked;
  a.rises[row] = check ? 0.0 : rises;
  a.factor[row] = back ? a.factor[row] / 2.0 : a.factor[row];
  a.halved[row] = check ? stuck : a.halved[row];
  a.improved[row] = improved;
  a.back[row] = back;
  a.share[row] = begins ? 1.0 : a.alpha;
}

}  // namespace featlab
