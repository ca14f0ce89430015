// SPDX-License-Identifier: Apache-2.0
// Which thread of a block runs next, and its barrier, warp collectives, shared memory and asynchronous copies.
#include "kernels/emulator/block.h"

#include <cstring>
#include <utility>

#include "kernels/emulator/accesses.h"
#include "kernels/emulator/machine.h"

namespace isda::emulator {

// ---- the order of threads ----

unsigned ReadySet::lowest() const {
  unsigned word = 0;
  while (!words_[word]) ++word;
  return word * 64 + static_cast<unsigned>(std::countr_zero(words_[word]));
}

unsigned ReadySet::highest() const {
  unsigned word = 15;
  while (!words_[word]) --word;
  return word * 64 + 63 - static_cast<unsigned>(std::countl_zero(words_[word]));
}

unsigned ReadySet::from(unsigned rank) const {
  unsigned word = rank >> 6;
  std::uint64_t bits = words_[word] & (~std::uint64_t{0} << (rank & 63));
  while (!bits) {
    word = (word + 1) % 16;
    bits = words_[word];
  }
  return word * 64 + static_cast<unsigned>(std::countr_zero(bits));
}

namespace {

// The first ready lane of the warp with the highest priority; priorities change places now and then.
unsigned next_by_priority(Block& block) {
  const unsigned warps = block.warps();
  if (block.dice.below(128) == 0) std::swap(block.warps_by_priority[block.dice.below(warps)], block.warps_by_priority[block.dice.below(warps)]);
  unsigned place = 0;
  while (!block.ready.warp(block.warps_by_priority[place])) ++place;
  const unsigned warp = block.warps_by_priority[place];
  const std::uint32_t rotated = std::rotr(block.ready.warp(warp), static_cast<int>(block.first_lane));
  return warp * 32 + ((static_cast<unsigned>(std::countr_zero(rotated)) + block.first_lane) & 31);
}

}  // namespace

Thread& Block::take_next() {
  unsigned rank = 0;
  switch (options().order) {
    case Order::forward: rank = ready.lowest(); break;
    case Order::reverse: rank = ready.highest(); break;
    case Order::random: rank = ready.from(dice.below(size)); break;
    case Order::pct: rank = next_by_priority(*this); break;
  }
  ready.remove(rank);
  return *threads[rank];
}

unsigned lane() { return current->lane(); }

unsigned running_lanes() {
  const Block& block = *current->block;
  const unsigned first = current->rank & ~31u;
  unsigned lanes = 0;
  for (unsigned rank = first; rank < first + 32 && rank < block.size; ++rank) {
    if (block.threads[rank]->state != Thread::State::exited) lanes |= 1u << (rank - first);
  }
  sanitizer::mark_result_initialised();
  return lanes;
}

void yield() {
  Block& block = *current->block;
  // NOTE: one time in four, so that a thread can also run on; forward and reverse never leave a thread that can run.
  if (options().order == Order::forward || options().order == Order::reverse || block.dice.below(4)) return;
  block.make_ready(*current);
  suspend();
}

void make_undefined(void* begin, std::size_t bytes) {
  const sanitizer::Unseen unseen;
  std::memset(begin, 0xff, bytes);
  sanitizer::mark_uninitialised(begin, bytes);
}

void check_float_atomic(const Location& where) {
  if (options().is_strict) fail("atomicAdd of floats, whose sum depends on the order of threads", where);
}

void fence(bool is_of_block) {
  static Block::Token of_card{};
  auto* token = is_of_block ? &current->block->fence_token : &of_card;
  yield();
  sanitizer::acquire(token);
  sanitizer::release(token);
}

void fail(std::string message, const Location& where) {
  message += ", by " + name_of(*current) + " at " + text_of(where);
  abort_launch(std::move(message));
}

// ---- the barrier ----

void Block::release_barrier() {
  votes_count = true_votes;
  votes_all = all_votes;
  votes_any = true_votes > 0;
  true_votes = 0;
  all_votes = 1;
  waiting = 0;
  ++generation;
  counting->barriers += 1;
  accesses::synchronise(*this);
  for (unsigned rank = 0; rank < size; ++rank) {
    if (threads[rank]->state == Thread::State::at_barrier) make_ready(*threads[rank]);
  }
}

int barrier(Vote vote, bool predicate, const Location& where) {
  Thread& thread = *current;
  Block& block = *thread.block;
  if (block.running != block.size) fail("divergent barrier: __syncthreads after other threads of the block have exited", where);
  if (block.waiting == 0) {
    block.barrier_where = where;
  } else if (!(block.barrier_where == where)) {
    std::string message = "divergent barrier: a __syncthreads while other threads of the block wait in the one at " + text_of(block.barrier_where);
    fail(std::move(message), where);
  }
  thread.where = where;
  block.true_votes += predicate;
  block.all_votes &= predicate;
  auto* token = &block.barrier_tokens[block.generation % block.barrier_tokens.size()];
  sanitizer::release(token);
  thread.state = Thread::State::at_barrier;
  if (++block.waiting == block.running) block.release_barrier();
  suspend();
  sanitizer::acquire(token);
  sanitizer::mark_result_initialised();
  return vote == Vote::count ? block.votes_count : vote == Vote::all ? block.votes_all : block.votes_any;
}

// ---- warp collectives ----

namespace {

// The lanes of the running thread's warp that exist.
unsigned lanes_that_exist(const Block& block, unsigned first) { return block.size - first >= 32 ? 0xffffffffu : (1u << (block.size - first)) - 1; }

// Whether all of `mask` wait for this collective; fails when one of them cannot or waits for another.
bool all_have_come(const Thread& thread, unsigned first, void* (&operands)[32], const Location& where) {
  const Block& block = *thread.block;
  for (unsigned rest = thread.mask; rest; rest &= rest - 1) {
    const auto other_lane = static_cast<unsigned>(std::countr_zero(rest));
    const Thread& other = *block.threads[first + other_lane];
    if (other.state == Thread::State::exited) fail(std::string(thread.collective->name) + " names a lane that has exited", where);
    if (other.state != Thread::State::in_collective) return false;
    if (other.collective != thread.collective || other.mask != thread.mask) {
      std::string message = std::string(thread.collective->name) + " while lane " + std::to_string(other_lane) + " of its mask waits in " +
                            other.collective->name + (other.collective == thread.collective ? " with another mask at " : " at ") + text_of(other.where);
      fail(std::move(message), where);
    }
    operands[other_lane] = other.operands;
  }
  return true;
}

}  // namespace

void meet(unsigned mask, const Collective& collective, void* operands, const Location& where) {
  Thread& thread = *current;
  Block& block = *thread.block;
  const unsigned first = thread.rank & ~31u, warp = first / 32, existing = lanes_that_exist(block, first);
  if (collective.needs_full_warp && existing != 0xffffffffu) fail(std::string(collective.name) + " in a warp of fewer than 32 threads", where);
  if (!(mask >> thread.lane() & 1)) fail(std::string(collective.name) + " by a lane that is not in its mask", where);
  thread.where = where;
  thread.mask = mask & existing;
  thread.collective = &collective;
  thread.operands = operands;
  thread.state = Thread::State::in_collective;
  Block::WarpOrder* order = sanitizer::kSeesRaces && collective.orders_memory ? &block.warp_orders[warp][thread.mask] : nullptr;
  Block::Token* token = order ? &order->tokens[order->generation % 2] : nullptr;
  if (token) sanitizer::release(token);
  void* all_operands[32];
  if (all_have_come(thread, first, all_operands, where)) {
    sanitizer::mark_initialised(all_operands, sizeof all_operands);
    sanitizer::mark_result_initialised();
    if (collective.meet) collective.meet(all_operands, thread.mask);
    if (order) ++order->generation;
    if (collective.orders_memory) accesses::synchronise_warp(block, warp);
    counting->warp_collectives += 1;
    for (unsigned rest = thread.mask; rest; rest &= rest - 1) block.make_ready(*block.threads[first + static_cast<unsigned>(std::countr_zero(rest))]);
  }
  suspend();
  if (token) sanitizer::acquire(token);
}

// ---- shared memory ----

int next_shared_variable() {
  static int variables = 0;
  return variables++;
}

void* shared_variable(int variable, std::size_t bytes, std::size_t alignment, const Location& where) {
  current->where = where;
  void* memory = current->block->shared.variable(variable, bytes, alignment);
  sanitizer::mark_result_initialised();
  return memory;
}

void* dynamic_shared(const Location& where) {
  current->where = where;
  void* memory = current->block->shared.dynamic();
  sanitizer::mark_result_initialised();
  return memory;
}

void* carve(std::size_t bytes, std::size_t alignment, const Location& where) {
  current->where = where;
  void* memory = current->block->shared.carve(current->pieces_carved++, bytes, alignment);
  sanitizer::mark_result_initialised();
  return memory;
}

void check_shared(const void* pointer, std::size_t bytes, std::size_t alignment, const char* what, const Location& where) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % alignment) {
    fail(std::string(what) + " is not aligned to " + std::to_string(alignment) + " bytes", where);
  }
  if (!current->block->shared.holds(pointer, bytes)) fail(std::string(what) + " lies outside every array of shared memory", where);
}

std::uint32_t shared_address(const void* pointer) {
  const std::uint32_t address = current->block->shared.address(pointer);
  sanitizer::mark_result_initialised();
  return address;
}

// ---- cp.async ----

namespace {

void perform(const AsyncCopy& copy) {
  sanitizer::permit(copy.to, copy.bytes);
  sanitizer::touch_for_write(copy.to, copy.bytes);
  auto* to = static_cast<std::byte*>(copy.to);
  if (copy.source_bytes) sanitizer::copy_with_state(to, copy.from, copy.source_bytes);
  if (copy.bytes > copy.source_bytes) {
    std::memset(to + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
    sanitizer::mark_initialised(to + copy.source_bytes, copy.bytes - copy.source_bytes);
  }
}

}  // namespace

void async_copy(void* to, const void* from, unsigned bytes, unsigned source_bytes, const Location& where) {
  check_shared(to, bytes, bytes, "the destination of cp.async", where);
  if (reinterpret_cast<std::uintptr_t>(from) % bytes) fail("the source of cp.async is not aligned to its size", where);
  if (sanitizer::is_forbidden(from, source_bytes)) {
    sanitizer::report_forbidden(from, source_bytes);
    fail("the source of cp.async is out of bounds", where);
  }
  if (source_bytes && !is_device_memory(from, source_bytes)) fail("the source of cp.async lies outside every allocation of the card", where);
  yield();
  sanitizer::touch_for_read(from, source_bytes);
  sanitizer::touch_for_write(to, bytes);
  accesses::read(from, source_bytes, where);
  accesses::write(to, bytes, where);
  counting->async_copy_bytes += source_bytes;
  const AsyncCopy copy{to, from, bytes, source_bytes, current->groups};
  if (!options().late_async_copies) {
    perform(copy);
    return;
  }
  // Until it is waited for, the destination holds nothing one could use.
  make_undefined(to, bytes);
  sanitizer::forbid(to, bytes);
  current->copies.push_back(copy);
}

void async_commit() { ++current->groups; }

// NOTE: as on a card, copies that were not committed belong to no group and are not waited for.
void async_wait(unsigned groups_left) {
  yield();
  auto& copies = current->copies;
  std::size_t done = 0;
  for (; done < copies.size() && copies[done].group + groups_left < current->groups; ++done) perform(copies[done]);
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void async_finish() {
  for (const AsyncCopy& copy : current->copies) perform(copy);
  current->copies.clear();
}

}  // namespace isda::emulator
