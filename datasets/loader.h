// SPDX-License-Identifier: Apache-2.0
// The batches of an epoch, gathered, augmented and normalised ahead of the step by worker threads.
//
//   Loader loader(dataset.train, dataset.mean, dataset.deviation, {.batch_size = 128, .seed = 1, .workers = 2});
//   for (const Batch& batch : loader.epoch(3)) { ... }
//
// The order of an epoch and the augmentation of an image are functions of (seed, epoch) and (seed, epoch, index): the bytes do not
// depend on the number of workers, nor on the epochs before. Buffers are made once; a warm epoch allocates nothing, but what libjpeg takes while it decodes an
// image of a split of files (datasets/image_files.h).
//
// Workers take the batches of the epoch in turn and fill a ring of buffers; batch b goes to buffer b mod the ring's size as soon as
// the caller has moved past the batch that was there. With no workers a batch is made when it is asked for, in the caller's thread.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "datasets/augmentation.h"
#include "datasets/dataset.h"
#include "kernels/common/context.h"

namespace isda {

// Valid until the next batch is asked for.
struct Batch {
  ConstView images;           // (N,H,W,C), normalised; the last batch of an epoch may be smaller; absent where the loader makes none
  ConstView labels;           // (N) i32
  ConstView indices;          // (N) i32: which images of the split these are
  std::int64_t replaced = 0;  // images that could not be decoded, and another came in their place
};

// Pixels added at each side before an augmented image is cropped.
inline constexpr int kCropPadding = 4;

struct LoaderOptions {
  std::int64_t batch_size = 128;
  std::uint64_t seed = 0;
  bool is_shuffled = true;
  bool is_augmented = true;        // reflect-padded random crop and random flip, of files a random resized crop; else the images as they are, normalised
  Augmentation augmentation = {};  // what is done beside, to augmented images or not
  bool drops_partial = false;      // leave out a last batch that is not full
  std::int64_t limit = 0;          // use only the first `limit` images of the split; 0 = all
  int workers = 1;                 // threads that work ahead; 0 = the calling thread
  bool replaces_corrupt = false;   // training images that are files: one that cannot be decoded is replaced by the next of the split that can; else an Error
  DType type = DType::f32;         // of the images: f32, bf16, or f64 made by the reference device
  bool makes_images = true;        // false: only labels and indices, for whoever makes the images elsewhere (datasets/resident_images.h)
};

class Loader {
 public:
  // The split must outlive the loader.
  Loader(const Split& split, std::span<const double> mean, std::span<const double> deviation, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t images() const { return static_cast<std::int64_t>(order_.size()); }  // an epoch draws from
  std::int64_t batches() const;                                                     // of an epoch

  // Begins an epoch at its batch `first_batch`; what was left of the epoch before is dropped.
  void start(std::int32_t epoch, std::int64_t first_batch = 0);
  // The next batch in order, null after the last. Throws what its making threw; the epoch is then over.
  const Batch* next();

  // Of the batches that next() gave since start(): how many images were replaced, and why the first was.
  std::int64_t replaced() const { return replaced_; }
  const std::string& first_replaced() const { return first_replaced_; }

  // start() and next() as a range.
  class Epoch;
  Epoch epoch(std::int32_t number, std::int64_t first_batch = 0);

 private:
  struct Slot {
    Batch batch;
    View images, labels, indices;  // of full size
    std::int64_t ready = -1;       // the batch it holds
    std::exception_ptr error;      // or why it does not
    std::string why_replaced;      // of the first image that was
  };

  Slot& slot_of(std::int64_t batch) { return slots_[static_cast<std::size_t>(batch) % slots_.size()]; }
  std::int64_t size_of_batch(std::int64_t batch) const;
  void shuffle();
  void try_to_fill(const Context& context, std::int64_t batch, Slot& slot) const;
  void fill(const Context& context, std::int64_t batch, Slot& slot) const;
  // Of a split of files.
  void decode(const Context& context, Slot& slot) const;
  // What is the same for all images of the epoch; nothing is cropped or flipped.
  kernels::Augment augment() const;
  void work();
  void stop_workers();

  const Split& split_;
  const LoaderOptions options_;
  Arena memory_;
  View mean_, deviation_;
  Augmenter augmenter_;
  std::vector<std::int32_t> order_;
  std::vector<Slot> slots_;
  Context context_;  // of the calling thread

  std::int32_t epoch_ = 0;
  std::int64_t replaced_ = 0;
  std::string first_replaced_;

  // Shared with the workers, under the mutex.
  std::mutex mutex_;
  std::condition_variable work_changed_, batch_ready_;
  std::int64_t claimed_ = 0;   // batches before this one have been taken by a worker
  std::int64_t released_ = 0;  // batches before this one are no longer in use by the caller
  std::int64_t end_ = 0;       // of the epoch; claimed_ when there is none
  std::int64_t given_ = 0;     // the batch that next() gives (the caller's thread only)
  int busy_ = 0;               // workers that are filling a buffer
  bool is_stopping_ = false;
  std::vector<std::thread> workers_;
};

class Loader::Epoch {
 public:
  struct End {};
  class Iterator {
   public:
    explicit Iterator(Loader& loader) : loader_(loader), batch_(loader.next()) {}
    const Batch& operator*() const { return *batch_; }
    Iterator& operator++() {
      batch_ = loader_.next();
      return *this;
    }
    bool operator!=(End) const { return batch_ != nullptr; }

   private:
    Loader& loader_;
    const Batch* batch_;
  };

  explicit Epoch(Loader& loader) : loader_(loader) {}
  Iterator begin() const { return Iterator(loader_); }
  End end() const { return {}; }

 private:
  Loader& loader_;
};

}  // namespace isda
