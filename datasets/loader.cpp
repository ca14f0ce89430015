// SPDX-License-Identifier: Apache-2.0
#include "datasets/loader.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "datasets/image_files.h"
#include "kernels/augment/augment.h"

namespace isda {

namespace {

// One batch in use by the caller, one for each worker, and one that waits.
std::size_t ring_size(int workers) { return workers == 0 ? 1 : static_cast<std::size_t>(workers) + 2; }

// An array in the arena, aligned for the operations that read it.
View array(Arena& memory, DType type, const Shape& shape) { return View(memory.take(static_cast<std::size_t>(shape.size()) * size_of(type)), type, shape); }

View constants(Arena& memory, DType type, std::span<const double> values) {
  const View view = array(memory, type, {static_cast<std::int64_t>(values.size())});
  for (std::size_t i = 0; i < values.size(); ++i) view.set_offset(values[i], static_cast<std::int64_t>(i));
  return view;
}

// The first `count` of the outermost extent.
ConstView first(const View& view, std::int64_t count) {
  if (view.shape().rank() == 1) return ConstView(view.data(), view.type(), {count});
  return ConstView(view.data(), view.type(), {count, view.extent(1), view.extent(2), view.extent(3)});
}

void check(const Split& split, const LoaderOptions& options) {
  require(split.size() > 0, "[loader] the data set has no images");
  require(split.size() <= std::numeric_limits<std::int32_t>::max(), "[loader] {} images, at most 2^31 - 1 can be numbered", split.size());
  require(options.batch_size >= 1, "[loader] the batch size is {}, expected 1 or more (--batch-size)", options.batch_size);
  require(options.limit >= 0, "[loader] the limit is {} images, expected 1 or more, or 0 for all (--train-limit)", options.limit);
  require(options.workers >= 0, "[loader] {} workers, expected 0 or more (--workers)", options.workers);
  require(is_float(options.type), "[loader] images of type {} were asked for, expected f32, bf16 or f64", name_of(options.type));
}

}  // namespace

Loader::Loader(const Split& split, std::span<const double> mean, std::span<const double> deviation, const LoaderOptions& options)
    : split_(split),
      options_(options),
      augmenter_(options.augmentation, split.height, split.width, Device::cpu),
      context_(options.type == DType::f64 ? Device::reference : Device::cpu, 1) {
  check(split, options);
  const std::int64_t images = options.limit > 0 ? std::min(options.limit, split.size()) : split.size();
  require(!options.drops_partial || options.batch_size <= images,
          "[loader] a batch of {} from {} images, of which partial batches are dropped: nothing is left; use a smaller batch", options.batch_size, images);
  order_.resize(static_cast<std::size_t>(images));
  mean_ = constants(memory_, parameter_type(options.type), mean);
  deviation_ = constants(memory_, parameter_type(options.type), deviation);
  slots_.resize(ring_size(options.workers));
  const std::int64_t N = std::min(options.batch_size, images);
  for (Slot& slot : slots_) {
    if (options.makes_images) slot.images = array(memory_, options.type, {N, split.height, split.width, split.channels});
    slot.labels = array(memory_, DType::i32, {N});
    slot.indices = array(memory_, DType::i32, {N});
  }
  try {
    for (int worker = 0; worker < options.workers; ++worker) workers_.emplace_back([this] { work(); });
  } catch (...) {
    stop_workers();
    throw;
  }
}

Loader::~Loader() { stop_workers(); }

void Loader::stop_workers() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  work_changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

std::int64_t Loader::batches() const {
  return options_.drops_partial ? images() / options_.batch_size : (images() + options_.batch_size - 1) / options_.batch_size;
}

std::int64_t Loader::size_of_batch(std::int64_t batch) const { return std::min(options_.batch_size, images() - batch * options_.batch_size); }

void Loader::start(std::int32_t epoch, std::int64_t first_batch) {
  require(first_batch >= 0 && first_batch <= batches(), "[loader] epoch {} was to begin at batch {}, it has {}", epoch, first_batch, batches());
  std::unique_lock lock(mutex_);
  // End the epoch before: nothing more is claimed, and nobody reads the order any longer.
  end_ = claimed_;
  batch_ready_.wait(lock, [&] { return busy_ == 0; });
  epoch_ = epoch;
  shuffle();
  for (Slot& slot : slots_) {
    slot.ready = -1;
    slot.error = nullptr;
  }
  claimed_ = released_ = given_ = first_batch;
  replaced_ = 0;
  first_replaced_.clear();
  end_ = batches();
  lock.unlock();
  work_changed_.notify_all();
}

// Fisher-Yates; position i of the epoch's stream decides the swap of element i.
void Loader::shuffle() {
  std::iota(order_.begin(), order_.end(), 0);
  if (!options_.is_shuffled) return;
  for (std::size_t i = order_.size() - 1; i > 0; --i) {
    const auto words = philox(options_.seed, RandomStream::shuffle, static_cast<std::uint32_t>(epoch_), i);
    std::swap(order_[i], order_[uniform_below(words[0], static_cast<std::uint32_t>(i + 1))]);
  }
}

const Batch* Loader::next() {
  std::unique_lock lock(mutex_);
  released_ = given_;
  work_changed_.notify_all();
  if (given_ == end_) return nullptr;
  Slot& slot = slot_of(given_);
  if (workers_.empty())
    try_to_fill(context_, claimed_++, slot);
  else
    batch_ready_.wait(lock, [&] { return slot.ready == given_; });
  if (slot.error) {
    given_ = end_ = claimed_;
    std::rethrow_exception(slot.error);
  }
  if (replaced_ == 0) first_replaced_ = slot.why_replaced;
  replaced_ += slot.batch.replaced;
  ++given_;
  return &slot.batch;
}

Loader::Epoch Loader::epoch(std::int32_t number, std::int64_t first_batch) {
  start(number, first_batch);
  return Epoch(*this);
}

// A worker's life: claim the next batch whose buffer is free, fill it, say so.
void Loader::work() {
  const Context context(context_.device(), 1);
  std::unique_lock lock(mutex_);
  for (;;) {
    work_changed_.wait(lock, [&] { return is_stopping_ || (claimed_ < end_ && claimed_ < released_ + static_cast<std::int64_t>(slots_.size())); });
    if (is_stopping_) return;
    const std::int64_t batch = claimed_++;
    Slot& slot = slot_of(batch);
    ++busy_;
    lock.unlock();
    try_to_fill(context, batch, slot);
    lock.lock();
    --busy_;
    slot.ready = batch;
    batch_ready_.notify_all();
  }
}

void Loader::try_to_fill(const Context& context, std::int64_t batch, Slot& slot) const {
  try {
    fill(context, batch, slot);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

void Loader::fill(const Context& context, std::int64_t batch, Slot& slot) const {
  const std::int64_t N = size_of_batch(batch);
  auto* labels = slot.labels.as<std::int32_t>();
  auto* indices = slot.indices.as<std::int32_t>();
  for (std::int64_t n = 0; n < N; ++n) {
    indices[n] = order_[static_cast<std::size_t>(batch * options_.batch_size + n)];
    labels[n] = split_.labels[static_cast<std::size_t>(indices[n])];
  }
  slot.batch = {.images = {}, .labels = first(slot.labels, N), .indices = first(slot.indices, N)};
  if (!options_.makes_images) return;
  slot.batch.images = first(slot.images, N);
  if (split_.are_files()) return decode(context, slot);
  kernels::Augment op = augment();
  op.images = split_.images();
  op.indices = slot.batch.indices;
  op.padding = options_.is_augmented ? kCropPadding : 0;
  op.flip = options_.is_augmented;
  op.y = View(slot.images.data(), slot.images.type(), slot.batch.images.shape());
  augmenter_.run(context, op);
}

kernels::Augment Loader::augment() const {
  return {.mean = mean_, .deviation = deviation_, .epoch = ConstView(&epoch_, DType::i32, {1}), .seed = options_.seed, .padding = 0, .flip = false};
}

// An image at a time, from the file to its place in the batch, while it is in the caches.
void Loader::decode(const Context& context, Slot& slot) const {
  // NOTE: its buffers stay with the thread, and are as large as its largest image.
  thread_local JpegDecoder decoder;
  slot.why_replaced.clear();
  auto* labels = slot.labels.as<std::int32_t>();
  auto* indices = slot.indices.as<std::int32_t>();
  const ConstView images = slot.batch.images;
  Scratch scratch = context.scratch();
  const View pixels(scratch.take<std::uint8_t>(split_.image_bytes()), DType::u8, {1, split_.height, split_.width, split_.channels});
  for (std::int64_t n = 0; n < images.extent(0); ++n) {
    for (std::int64_t attempt = 1;; ++attempt) {
      const ImageDraw draw{options_.seed, epoch_, indices[n]};
      try {
        load_image(context, decoder, split_.files->path(indices[n]), split_.resize_side, options_.is_augmented ? &draw : nullptr, pixels);
        break;
      } catch (const CorruptImage& error) {
        if (!options_.replaces_corrupt) fail("{}; replace or remove it{}", error.what(), options_.is_augmented ? ", or train with --on-corrupt skip" : "");
        require(attempt < this->images(), "[loader] not one of {} images could be decoded; the last: {}", this->images(), error.what());
        if (slot.why_replaced.empty()) slot.why_replaced = error.what();
        if (attempt == 1) slot.batch.replaced += 1;
        indices[n] = static_cast<std::int32_t>((indices[n] + 1) % this->images());
        labels[n] = split_.labels[static_cast<std::size_t>(indices[n])];
      }
    }
    // What is left to do with its bytes, as one of the split.
    const std::int64_t bytes = split_.image_bytes() * static_cast<std::int64_t>(size_of(images.type()));
    kernels::Augment op = augment();
    op.images = pixels;
    op.indices = ConstView(&indices[n], DType::i32, {1});
    op.gathered_from = split_.size();
    op.y = View(static_cast<std::byte*>(slot.images.data()) + n * bytes, images.type(), pixels.shape());
    augmenter_.run(context, op);
  }
}

}  // namespace isda
