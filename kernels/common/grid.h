// SPDX-License-Identifier: Apache-2.0
// Nested loops in one line: for (auto [n, c] : grid(N, C)) visits every (n, c), the last index fastest.
#pragma once
#include <array>
#include <cstdint>

namespace isda {

template <int rank>
class Grid {
 public:
  using Index = std::array<std::int64_t, rank>;

  explicit Grid(const Index& extents) : extents_(extents) {
    for (const auto extent : extents) is_empty_ = is_empty_ || extent <= 0;
  }

  struct End {};
  class Iterator {
   public:
    explicit Iterator(const Index& extents, bool is_done) : extents_(extents), is_done_(is_done) {}
    const Index& operator*() const { return index_; }
    Iterator& operator++() {
      for (int axis = rank - 1; axis >= 0; --axis) {
        if (++index_[axis] < extents_[axis]) return *this;
        index_[axis] = 0;
      }
      is_done_ = true;
      return *this;
    }
    bool operator!=(End) const { return !is_done_; }

   private:
    Index extents_;
    Index index_{};
    bool is_done_;
  };

  Iterator begin() const { return Iterator(extents_, is_empty_); }
  End end() const { return {}; }

 private:
  Index extents_;
  bool is_empty_ = false;
};

template <class... Extents>
auto grid(Extents... extents) {
  return Grid<sizeof...(Extents)>({static_cast<std::int64_t>(extents)...});
}

}  // namespace isda
