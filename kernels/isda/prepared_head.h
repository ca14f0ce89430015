// SPDX-License-Identifier: Apache-2.0
// ISDA's head off the critical path: what needs only labels and weight is done before the features are there, beside the network that makes them.
//
// U_c and Q of a batch are those of the statistics before it and a few terms more. With the terms z_k and keep that the batch brings
// (members.h: S'_c = keep S_c + sum_k z_k z_k^T, k = 0 ... m) and t_k[j] = z_k . D_c[j]:
//
//   U'_c[j] = keep U_c[j] + sum_k t_k[j] z_k         Q'[c,j] = keep Q[c,j] + sum_k t_k[j]^2
//
// So the pass over the covariances can come first (IsdaPrepare), and the head behind the features (IsdaPreparedHead) touches no covariance at all: the terms
// it makes are left pending, and reach the covariance when its class is visited next, in the same pass that multiplies it. Each visit of a class
// reads its S_c once and writes it once. IsdaSettle adds all that is pending: then the covariances are what IsdaHead would have left, up to rounding.
//
// Pending terms of class c, count_c of them: the rows [first_c, first_c + count_c); its covariance is keep_c covariance[c] + sum_k z_k z_k^T over these,
// and covariance[c] itself where count_c is 0. A class has `of_class` rows of its own, c of_class ...; a batch with more samples of it leaves its terms in the
// rows behind those of all classes, from where the next IsdaPrepare takes them, whether the class is present then or not.
//
//   Only for full covariances.   N, A, C, K, F, W, S, D: kernels/isda/isda.h   types likewise: f32 with f32 or bf16 features, f64 with f64
//   FLOP   prepare 2 K C A^2 + 2 (N + K) A^2     head: that of IsdaHead without these, and 6 (N + K) C A     settle 2 A^2 a term
//   bytes  prepare S_c twice, U once             head: U once, rows and all that IsdaHead has beside S_c     settle S_c twice
#pragma once
#include "kernels/isda/isda.h"

namespace isda::kernels {

struct PendingTerms {
  View count;             // (C) i32
  View first;             // (C) i32
  View keep;              // (C)
  View rows;              // (R,A), R >= C of_class + N + min(N,C) for every batch to come
  std::int64_t of_class;  // at least 1

  // Rows for batches of up to `most_samples`.
  static std::int64_t rows_for(std::int64_t classes, std::int64_t of_class, std::int64_t most_samples) {
    return classes * of_class + most_samples + (most_samples < classes ? most_samples : classes);
  }
};

// What is prepared for a batch. K of the slots are used; what belongs to the others keeps what it held.
struct Prepared {
  View slots;    // (C) i32: as of IsdaForward
  View members;  // (2 min(N,C) + 2 + N) i32: K; the class of each slot; where the samples of each begin, and the end; the samples by slot, ascending within it
  View u;        // (min(N,C),C,A): u[slots[c]] is U_c
  View q;        // (min(N,C),C): q[slots[c],j] is Q[c,j]
};

struct IsdaPrepare {
  static constexpr auto name = "isda_prepare";
  ConstView labels;      // (N) i32
  ConstView weight;      // (C,A)
  View covariance;       // (C,A,A), changed in place: what is pending of present classes, and of those without rows of their own, is added
  PendingTerms pending;  // the counts of these become 0
  Prepared prepared;     // overwritten
};
ISDA_OPERATION(IsdaPrepare);

// After IsdaPrepare with the same labels and weight.
struct IsdaPreparedHead {
  static constexpr auto name = "isda_prepared_head";
  ConstView x;           // (N,H,W,A), or (N,A)
  ConstView labels;      // (N) i32
  ConstView weight;      // (C,A)
  ConstView bias = {};   // (C), optional
  ConstView ratio;       // (1)
  View count;            // (C), changed in place: samples seen
  View mean;             // (C,A), changed in place
  PendingTerms pending;  // of present classes: overwritten by the terms of this batch
  Prepared prepared;     // read
  View loss;             // (1), overwritten
  View correct;          // (1) i32, overwritten
  View dx;               // the shape and type of x, overwritten
  View dweight;          // (C,A), overwritten
  View dbias = {};       // (C), optional, overwritten
};
ISDA_OPERATION(IsdaPreparedHead);

struct IsdaSettle {
  static constexpr auto name = "isda_settle";
  View covariance;       // (C,A,A), changed in place
  PendingTerms pending;  // all counts become 0
};
ISDA_OPERATION(IsdaSettle);

}  // namespace isda::kernels
