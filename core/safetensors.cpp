// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "core/atomic_file.h"
#include "core/tensor.h"

namespace isda {

namespace {

static_assert(std::endian::native == std::endian::little, "the elements are read and written as they stand in memory");

using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::uint64_t kLengthBytes = 8;
constexpr std::size_t kMaxDepth = 16;  // of the JSON; the format itself needs 3
constexpr std::string_view kMetadataName = "__metadata__";
constexpr std::string_view kHalf = "F16";  // of which we have no arrays

struct DTypeWord {
  std::string_view word;
  std::uint64_t bits;
  std::optional<DType> type = {};
};

// Every type of the format, in the order of its alignment: the order of tensors in a file is the reverse.
constexpr std::array kDTypeWords{DTypeWord{"BOOL", 8},
                                 DTypeWord{"F4", 4},
                                 DTypeWord{"F6_E2M3", 6},
                                 DTypeWord{"F6_E3M2", 6},
                                 DTypeWord{"U8", 8, DType::u8},
                                 DTypeWord{"I8", 8},
                                 DTypeWord{"F8_E5M2", 8},
                                 DTypeWord{"F8_E4M3", 8},
                                 DTypeWord{"F8_E8M0", 8},
                                 DTypeWord{"F8_E4M3FNUZ", 8},
                                 DTypeWord{"F8_E5M2FNUZ", 8},
                                 DTypeWord{"I16", 16},
                                 DTypeWord{"U16", 16},
                                 DTypeWord{kHalf, 16},
                                 DTypeWord{"BF16", 16, DType::bf16},
                                 DTypeWord{"I32", 32, DType::i32},
                                 DTypeWord{"U32", 32},
                                 DTypeWord{"F32", 32, DType::f32},
                                 DTypeWord{"C64", 64},
                                 DTypeWord{"F64", 64, DType::f64},
                                 DTypeWord{"I64", 64, DType::i64},
                                 DTypeWord{"U64", 64}};

const DTypeWord* find_dtype(std::string_view word) {
  const auto* found = std::find_if(kDTypeWords.begin(), kDTypeWords.end(), [&](const DTypeWord& entry) { return entry.word == word; });
  return found == kDTypeWords.end() ? nullptr : found;
}

const DTypeWord& word_of(DType type) {
  return *std::find_if(kDTypeWords.begin(), kDTypeWords.end(), [&](const DTypeWord& entry) { return entry.type == type; });
}

// The name in quotes, on one line whatever characters it has.
std::string in_quotes(std::string_view name) { return json(name).dump(-1, ' ', false, json::error_handler_t::replace); }

// The value as it stands in the header, cut to a length that a message can bear.
std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

struct FileBytes {
  std::shared_ptr<const std::byte> data;
  std::uint64_t size;
};

FileBytes map_file(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) fail("[safetensors] cannot open {}: {}", path.string(), std::generic_category().message(errno));
  struct stat status {};
  const bool is_regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = is_regular ? static_cast<std::uint64_t>(status.st_size) : 0;
  void* const memory = size > 0 ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0) : nullptr;
  const int error = errno;
  close(descriptor);
  require(is_regular, "[safetensors] {} is {}, expected a file", path.string(), S_ISDIR(status.st_mode) ? "a folder" : "not a regular file");
  require(size >= kLengthBytes, "[safetensors] {} has {} bytes, expected at least {}: it is empty or cut off", path.string(), size, kLengthBytes);
  require(memory != MAP_FAILED, "[safetensors] cannot read {}: {}", path.string(), std::generic_category().message(error));
  return {{static_cast<const std::byte*>(memory), [size](const std::byte* data) { munmap(const_cast<std::byte*>(data), size); }}, size};
}

// The header as JSON. NOTE: the JSON library keeps the last of two equal keys without a word; the callback sees both.
json parse_header(const std::string& file, std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto refuse_duplicates = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      keys.emplace_back();
      require(keys.size() <= kMaxDepth, "[safetensors] {}: the header is nested more than {} deep", file, kMaxDepth);
    } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      require(keys.back().insert(parsed.get<std::string>()).second, "[safetensors] {}: the header has {} twice", file, shown(parsed));
    }
    return true;
  };
  // NOTE: the JSON library takes a zero byte for the end of the text and looks no further.
  const auto zero = text.find('\0');
  require(zero == text.npos, "[safetensors] {}: the header is not valid JSON at byte {} of {}", file, zero + 1, text.size());
  try {
    return json::parse(text, refuse_duplicates);
  } catch (const json::parse_error& error) {
    fail("[safetensors] {}: the header is not valid JSON at byte {} of {}", file, error.byte, text.size());
  } catch (const json::exception&) {
    fail("[safetensors] {}: the header has a number that cannot be represented", file);
  }
}

// The type that elements are viewed as; none where we have none.
std::optional<DType> viewed_as(const DTypeWord& dtype) { return dtype.word == kHalf ? DType::f32 : dtype.type; }

// IEEE 754 binary16: a sign, five bits of exponent around 15, ten of fraction. Every value of it is one of f32.
float widened(std::uint16_t half) {
  const std::uint32_t exponent = half >> 10 & 31u, fraction = half & 1023u;
  const float magnitude =
      exponent == 0 ? static_cast<float>(fraction) * 0x1p-24f : std::bit_cast<float>((exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13);
  return half & 0x8000u ? -magnitude : magnitude;
}

// A copy of elements that cannot be viewed where they stand in the file: f16, as f32, and what is not aligned to its type. Else null.
Storage copy_of(const DTypeWord& dtype, std::span<const std::byte> bytes) {
  if (bytes.empty()) return nullptr;
  if (dtype.word == kHalf) {
    const std::size_t count = bytes.size() / sizeof(std::uint16_t);
    const Storage copy = allocate(count * sizeof(float), Device::cpu);
    for (std::size_t i = 0; i < count; ++i) {
      std::uint16_t half = 0;
      std::memcpy(&half, bytes.data() + i * sizeof half, sizeof half);
      reinterpret_cast<float*>(copy.get())[i] = widened(half);
    }
    return copy;
  }
  if (!dtype.type || reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(*dtype.type) == 0) return nullptr;
  const Storage copy = allocate(bytes.size(), Device::cpu);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return copy;
}

SafetensorsMetadata parse_metadata(const std::string& file, const json& value) {
  require(value.is_object(), "[safetensors] {}: {} is {}, expected an object of strings", file, kMetadataName, shown(value));
  SafetensorsMetadata metadata;
  for (const auto& [key, text] : value.items()) {
    require(text.is_string(), "[safetensors] {}: {} of {} is {}, expected a string", file, in_quotes(key), kMetadataName, shown(text));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

// One tensor of the header, before its offsets are held against the file and the other tensors.
struct Description {
  Safetensors::Entry entry;
  std::uint64_t begin, end;
};

const json& member(const std::string& where, const json& description, const char* key) {
  const auto found = description.find(key);
  require(found != description.end(), "[safetensors] {} has no {}, expected dtype, shape and data_offsets", where, key);
  return *found;
}

// The bytes that elements of this type and these extents take.
std::uint64_t bytes_of(const std::string& where, const DTypeWord& dtype, const std::vector<std::int64_t>& extents) {
  std::uint64_t bits = dtype.bits;
  for (const std::int64_t extent : extents) {
    require(!__builtin_mul_overflow(bits, static_cast<std::uint64_t>(extent), &bits), "[safetensors] {}: the shape ({}) has more elements than can be counted",
            where, fmt::join(extents, ","));
  }
  require(bits % 8 == 0, "[safetensors] {}: {} elements of {} bits in the shape ({}) do not fill whole bytes", where, dtype.word, dtype.bits,
          fmt::join(extents, ","));
  return bits / 8;
}

Description parse_description(const std::string& file, const std::string& name, const json& value) {
  const std::string where = fmt::format("{}: tensor {}", file, in_quotes(name));
  require(value.is_object(), "[safetensors] {} is {}, expected an object with dtype, shape and data_offsets", where, shown(value));

  const json& word = member(where, value, "dtype");
  const DTypeWord* dtype = word.is_string() ? find_dtype(word.get<std::string>()) : nullptr;
  if (!dtype) {
    std::string known;
    for (const DTypeWord& entry : kDTypeWords) known += fmt::format("{}{}", known.empty() ? "" : " ", entry.word);
    fail("[safetensors] {} has dtype {}, expected one of {}", where, shown(word), known);
  }

  const json& shape = member(where, value, "shape");
  require(shape.is_array(), "[safetensors] {} has shape {}, expected a list of extents", where, shown(shape));
  std::vector<std::int64_t> extents;
  for (const json& extent : shape) {
    require(extent.is_number_unsigned() && std::in_range<std::int64_t>(extent.get<std::uint64_t>()),
            "[safetensors] {} has shape {}, expected whole numbers from 0 to {}", where, shown(shape), INT64_MAX);
    extents.push_back(extent.get<std::int64_t>());
  }

  const json& offsets = member(where, value, "data_offsets");
  require(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned() &&
              offsets[0].get<std::uint64_t>() <= offsets[1].get<std::uint64_t>(),
          "[safetensors] {} has data_offsets {}, expected [begin, end] with 0 <= begin <= end", where, shown(offsets));
  const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();

  const std::uint64_t expected = bytes_of(where, *dtype, extents);
  require(end - begin == expected, "[safetensors] {} has {} bytes (data_offsets [{},{}]), expected {}: {} ({})", where, end - begin, begin, end, expected,
          dtype->word, fmt::join(extents, ","));
  return {{.name = name, .dtype = std::string(dtype->word), .extents = std::move(extents), .bytes = {}}, begin, end};
}

// The tensors must follow one another without overlap or hole, from the first byte of the data to the last.
void check_tiling(const std::string& file, std::vector<Description>& tensors, std::uint64_t data_bytes) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const Description& a, const Description& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t end = 0;
  std::string before = "the data";
  for (const auto& tensor : tensors) {
    const std::string name = in_quotes(tensor.entry.name);
    require(tensor.end <= data_bytes,
            "[safetensors] {}: tensor {} has the bytes {} to {}, but the file holds {} bytes of data: it is cut off or not the file that was written", file,
            name, tensor.begin, tensor.end, data_bytes);
    require(tensor.begin >= end, "[safetensors] {}: tensor {} begins at byte {} of the data, expected {}: it overlaps {}", file, name, tensor.begin, end,
            before);
    require(tensor.begin == end, "[safetensors] {}: tensor {} begins at byte {} of the data, expected {}: the bytes between belong to no tensor", file, name,
            tensor.begin, end);
    end = tensor.end;
    before = "tensor " + name;
  }
  require(end == data_bytes, "[safetensors] {} holds {} bytes of data, but its tensors end at byte {}: the rest belongs to no tensor", file, data_bytes, end);
}

}  // namespace

Safetensors Safetensors::open(const std::filesystem::path& path) {
  Safetensors result;
  result.path_ = path;
  const std::string file = path.string();
  const auto [memory, size] = map_file(path);
  result.file_ = memory;

  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, memory.get(), kLengthBytes);
  require(header_bytes <= kMaxHeaderBytes, "[safetensors] {}: the header's length is {} bytes, at most {} are allowed: is this a safetensors file?", file,
          header_bytes, kMaxHeaderBytes);
  require(header_bytes <= size - kLengthBytes, "[safetensors] {}: the header's length is {} bytes, but only {} bytes follow: the file is cut off", file,
          header_bytes, size - kLengthBytes);
  const std::string_view text(reinterpret_cast<const char*>(memory.get()) + kLengthBytes, header_bytes);
  require(text.starts_with('{'), "[safetensors] {}: the header begins with {}, expected {}: is this a safetensors file?", file, in_quotes(text.substr(0, 1)),
          in_quotes("{"));

  const json header = parse_header(file, text);
  std::vector<Description> tensors;
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataName)
      result.metadata_ = parse_metadata(file, value);
    else
      tensors.push_back(parse_description(file, name, value));
  }
  check_tiling(file, tensors, size - kLengthBytes - header_bytes);

  const std::byte* data = memory.get() + kLengthBytes + header_bytes;
  for (auto& [entry, begin, end] : tensors) {
    entry.bytes = {data + begin, data + end};
    result.copies_.push_back(copy_of(*find_dtype(entry.dtype), entry.bytes));
    result.index_[entry.name] = result.entries_.size();
    result.entries_.push_back(std::move(entry));
  }
  return result;
}

std::size_t Safetensors::index_of(std::string_view name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) return found->second;
  constexpr std::size_t kNamesShown = 8;
  std::string names;
  for (std::size_t i = 0; i < std::min(kNamesShown, entries_.size()); ++i) names += (i ? ", " : "") + in_quotes(entries_[i].name);
  fail("[safetensors] {} has no tensor {}; it holds {}{}{}", path_.string(), in_quotes(name), entries_.size(), entries_.empty() ? " tensors" : ": ",
       entries_.size() > kNamesShown ? names + ", ..." : names);
}

ConstView Safetensors::view(std::string_view name) const {
  const std::size_t index = index_of(name);
  const Entry& entry = entries_[index];
  const auto type = viewed_as(*find_dtype(entry.dtype));
  require(type.has_value(), "[safetensors] {}: tensor {} is {}, expected F32, F16, BF16, F64, U8, I32 or I64; convert it before", path_.string(),
          in_quotes(name), entry.dtype);
  require(entry.extents.size() <= Shape::kMaxRank, "[safetensors] {}: tensor {} has {} extents ({}), at most {} are possible", path_.string(), in_quotes(name),
          entry.extents.size(), fmt::join(entry.extents, ","), Shape::kMaxRank);
  const std::byte* data = copies_[index] ? copies_[index].get() : entry.bytes.data();
  return {data, *type, Shape(std::span(entry.extents))};
}

void write_safetensors(const std::filesystem::path& path, std::span<const NamedView> tensors, const SafetensorsMetadata& metadata) {
  const std::string file = path.string();
  std::vector<const NamedView*> order;
  for (const NamedView& tensor : tensors) {
    require(tensor.view || tensor.view.size() == 0, "[safetensors] {}: tensor {} was not given", file, in_quotes(tensor.name));
    require(tensor.name != kMetadataName, "[safetensors] {}: no tensor can be called {}, the format keeps the name for itself", file, kMetadataName);
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const NamedView* a, const NamedView* b) {
    return std::pair(&word_of(b->view.type()), std::string_view(a->name)) < std::pair(&word_of(a->view.type()), std::string_view(b->name));
  });

  // NOTE: an ordered_json looks for a key in all those before it, so the members are joined here.
  std::string header = "{";
  std::set<std::string_view> names;
  std::uint64_t data_bytes = 0;
  try {
    if (!metadata.empty()) header += json(kMetadataName).dump() + ":" + json(metadata).dump();
    for (const NamedView* tensor : order) {
      require(names.insert(tensor->name).second, "[safetensors] {}: two tensors are called {}", file, in_quotes(tensor->name));
      const auto bytes = static_cast<std::uint64_t>(tensor->view.bytes());
      header += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", header.size() > 1 ? "," : "", json(tensor->name).dump(),
                            word_of(tensor->view.type()).word, fmt::join(tensor->view.shape(), ","), data_bytes, data_bytes + bytes);
      data_bytes += bytes;
    }
  } catch (const json::type_error&) {
    fail("[safetensors] {}: the names of tensors and the metadata must be UTF-8", file);
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  require(header.size() <= kMaxHeaderBytes, "[safetensors] {}: the header would have {} bytes, at most {} are allowed", file, header.size(), kMaxHeaderBytes);

  const std::uint64_t header_bytes = header.size();
  AtomicFile target(path, kLengthBytes + header_bytes + data_bytes);
  target.write(std::as_bytes(std::span(&header_bytes, 1)));
  target.write(header);
  for (const NamedView* tensor : order) {
    const Tensor from_card = is_on_card(tensor->view.data()) ? Tensor::copy_of(tensor->view) : Tensor();
    const ConstView view = from_card ? from_card.view() : tensor->view;
    target.write({static_cast<const std::byte*>(view.data()), static_cast<std::size_t>(view.bytes())});
  }
  target.commit();
}

}  // namespace isda
