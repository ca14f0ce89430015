// SPDX-License-Identifier: Apache-2.0
// The eigenvectors of a symmetric matrix G (n,n) by cyclic Jacobi rotations.   Golub, Van Loan, Matrix Computations, 4th edition, section 8.5
//
//   G = E^T diag(lambda) E        the rows of E are the eigenvectors; rotation after rotation   G <- J G J^T   E <- J E
//
// A sweep meets every pair (p,q) once, in the order of a tournament (the parallel ordering of that section): in each of its rounds every index has one partner.
// So the rotations of a round touch no row or column in common; a block of threads may do them at once, one thread one after the other, and what comes out is
// the same but for rounding.
// Pairs that are small already are passed over; a sweep without a rotation is the last one.
#pragma once
#include <cstdint>

namespace isda::kernels::jacobi {

inline constexpr int kMostSweeps = 20;  // NOTE: 6 to 9 are taken; the limit is for what does not converge, as NaN

// Of a matrix of n: the rounds of a sweep, the pairs of a round; pair `index` of a round, p < q. q == n: with n odd p has no partner in this round.
struct Pair {
  int p, q;
};
constexpr int rounds_of(int n) { return n + n % 2 - 1; }
constexpr int pairs_of(int n) { return (n + 1) / 2; }
constexpr Pair pair_of(int round, int index, int n) {
  // One stands still, the others move around a circle.
  const int circle = n + n % 2 - 1;
  const int a = index == 0 ? circle : (round + index) % circle, b = (round - index + circle) % circle;
  return a < b ? Pair{a, b} : Pair{b, a};
}

// Which |G[p,q]| are small: below this share of the mean of the diagonal, the rounding of an element.
template <class Real>
constexpr Real kSmall = sizeof(Real) == 4 ? Real(0x1p-25) : Real(0x1p-54);

// The rotation that makes G[p,q] zero: G[p,p] falls by t G[p,q] and G[q,q] rises by it, and of two rows (columns)
//   x_p <- c x_p - s x_q        x_q <- s x_p + c x_q
// in the form of Rutishauser, which keeps their lengths to the last bit when the angle is small:   h = s / (1 + c).
template <class Real>
struct Rotation {
  Real t, s, h;  // all 0: none

  constexpr void turn(Real& x_p, Real& x_q) const {
    const Real p = x_p, q = x_q;
    x_p = p - s * (q + h * p);
    x_q = q + s * (p - h * q);
  }
};
// least: what is not above it, or NaN, is left as it is. root: the square root.
template <class Real, class Root>
constexpr Rotation<Real> rotation_of(Real pp, Real qq, Real pq, Real least, Root&& root) {
  if (!((pq < 0 ? -pq : pq) > least)) return {0, 0, 0};
  const Real tau = (qq - pp) / (2 * pq);
  const Real t = tau < 0 ? -1 / (root(1 + tau * tau) - tau) : 1 / (root(1 + tau * tau) + tau);
  const Real c = 1 / root(1 + t * t), s = t * c;
  return {t, s, s / (1 + c)};
}

// The place of eigenvalue i among all when the largest comes first, of equal ones the first; NaN counts as infinite. So every place is taken once.
template <class Values>
constexpr int place_of(const Values& value, int i, int n) {
  const auto is_nan = [](auto x) { return !(x == x); };
  const auto own = value(i);
  int place = 0;
  for (int j = 0; j < n; ++j) {
    const auto other = value(j);
    const bool is_larger = is_nan(own) ? false : is_nan(other) || other > own;
    const bool is_equal = is_nan(own) ? is_nan(other) : other == own;
    if (is_larger || (is_equal && j < i)) ++place;
  }
  return place;
}

// On the host: g becomes diagonal but for what is small, e is overwritten by the eigenvectors. Both (n,n).
void diagonalise(int n, double* g, double* e, double small = kSmall<double>);

}  // namespace isda::kernels::jacobi
