#include "core/calibrate/imatrix_file.h"

#include <cmath>
#include <cstring>
#include <string_view>

#include "core/base/status.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::calibrate {
namespace {

using Entries = std::map<std::string, ImatrixEntry>;

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts";
// The older form says its lengths in 32 bits; no name of a tensor comes near this.
constexpr int32_t kMaxNameBytes = 1 << 10;

absl::Status CheckValues(const std::vector<float>& values, const std::string& tensor, const std::string& name) {
  for (const float value : values) {
    if (std::isfinite(value) && value >= 0) continue;
    return ImatrixInvalid(name, absl::StrCat("'", tensor, "' has a negative or non-finite value"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ReadTensor(absl::Span<const uint8_t> bytes, const checkpoint::GgufFile& gguf,
                                              const checkpoint::GgufTensor& tensor, const std::string& name) {
  if (tensor.format != quant::Format::kF32) return ImatrixInvalid(name, absl::StrCat("'", tensor.name, "' is not F32"));
  std::vector<float> values(tensor.bytes / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data() + gguf.data_begin + tensor.offset, values.size() * sizeof(float));
  NS_RETURN_IF_ERROR(CheckValues(values, tensor.name, name));
  return values;
}

absl::StatusOr<Entries> ParseGgufForm(absl::Span<const uint8_t> bytes, const std::string& name) {
  const absl::StatusOr<checkpoint::GgufFile> gguf = checkpoint::ParseGguf(bytes, name);
  if (!gguf.ok()) return ImatrixInvalid(name, std::string(gguf.status().message()));
  Entries entries;
  for (const checkpoint::GgufTensor& tensor : gguf->tensors) {
    const std::string_view full = tensor.name;
    for (const std::string_view ending : {kSums, kCounts}) {
      if (!full.ends_with(ending)) continue;
      ImatrixEntry& entry = entries[std::string(full.substr(0, full.size() - ending.size()))];
      NS_ASSIGN_OR_RETURN((ending == kSums ? entry.sums : entry.counts), ReadTensor(bytes, *gguf, tensor, name));
    }
  }
  for (const auto& [tensor, entry] : entries) {
    if (entry.counts.empty()) return ImatrixInvalid(name, absl::StrCat("'", tensor, ToAbsl(kCounts), "' is missing"));
    if (entry.sums.empty()) return ImatrixInvalid(name, absl::StrCat("'", tensor, ToAbsl(kSums), "' is missing"));
  }
  return entries;
}

// What is left of a file, read from the front.
class Reader {
 public:
  explicit Reader(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}
  bool Read(void* out, uint64_t size) {
    if (size > bytes_.size()) return false;
    if (size > 0) std::memcpy(out, bytes_.data(), size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool ReadInt(int32_t* value) { return Read(value, sizeof(*value)); }
  uint64_t left() const { return bytes_.size(); }

 private:
  absl::Span<const uint8_t> bytes_;
};

// Little-endian: the number of tensors, then of each the length of its name, the name, the number of calls, the number of values,
// and as floats the mean squares times the number of calls. What follows (calls in all, name of the text) says nothing we need.
absl::StatusOr<Entries> ParseOlderForm(absl::Span<const uint8_t> bytes, const std::string& name) {
  const auto not_one = [&] { return ImatrixInvalid(name, "is neither a GGUF file nor an importance matrix of the older form (.dat)"); };
  Reader reader(bytes);
  Entries entries;
  int32_t tensors = 0;
  if (!reader.ReadInt(&tensors) || tensors < 1) return not_one();
  for (int32_t t = 0; t < tensors; ++t) {
    int32_t length = 0, calls = 0, count = 0;
    if (!reader.ReadInt(&length) || length < 1 || length > kMaxNameBytes) return not_one();
    std::string tensor(static_cast<size_t>(length), '\0');
    if (!reader.Read(tensor.data(), tensor.size()) || !reader.ReadInt(&calls) || !reader.ReadInt(&count)) return not_one();
    const auto values = static_cast<uint64_t>(count);
    if (count < 1 || calls < 1 || values > reader.left() / sizeof(float)) {
      return ImatrixInvalid(name, absl::StrCat("'", tensor, "' says ", count, " values of ", calls, " calls, and ", reader.left(),
                                               " bytes are left"));
    }
    ImatrixEntry entry{std::vector<float>(values), {static_cast<float>(calls)}};
    if (!reader.Read(entry.sums.data(), values * sizeof(float))) return not_one();
    NS_RETURN_IF_ERROR(CheckValues(entry.sums, tensor, name));
    entries[tensor] = std::move(entry);
  }
  return entries;
}

}  // namespace

absl::Status ImatrixInvalid(const std::string& name, const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "IMATRIX_INVALID", absl::StrCat(name, ": ", why),
                   "make one with: nashswarm calibrate DIR --text FILE -o imatrix.gguf, or llama-imatrix");
}

absl::StatusOr<Entries> ParseImatrix(absl::Span<const uint8_t> bytes, const std::string& name) {
  constexpr std::string_view kMagic = "GGUF";
  const bool gguf = bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
  return gguf ? ParseGgufForm(bytes, name) : ParseOlderForm(bytes, name);
}

}  // namespace nashswarm::calibrate
