#include "core/checkpoint/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/checkpoint/lfs_pointer.h"

namespace nashswarm::checkpoint {
namespace {

constexpr char kMagic[] = "GGUF";
constexpr uint32_t kVersion = 3;
constexpr uint64_t kMaxKeyBytes = 65535;  // the format's own limit
constexpr uint64_t kMaxNameBytes = 64;    // what llama.cpp reads

// Bytes of a fixed-width value; 0 for strings and arrays.
uint64_t WidthOf(GgufType type) {
  switch (type) {
    case GgufType::kUint8:
    case GgufType::kInt8:
    case GgufType::kBool:
      return 1;
    case GgufType::kUint16:
    case GgufType::kInt16:
      return 2;
    case GgufType::kUint32:
    case GgufType::kInt32:
    case GgufType::kFloat32:
      return 4;
    case GgufType::kUint64:
    case GgufType::kInt64:
    case GgufType::kFloat64:
      return 8;
    default:
      return 0;
  }
}

bool IsSigned(GgufType type) {
  return type == GgufType::kInt8 || type == GgufType::kInt16 || type == GgufType::kInt32 || type == GgufType::kInt64;
}
bool IsFloat(GgufType type) { return type == GgufType::kFloat32 || type == GgufType::kFloat64; }

class Reader {
 public:
  Reader(absl::Span<const uint8_t> file, std::string_view what) : file_(file), what_(what) {}

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return file_.size() - position_; }

  absl::Status Refuse(std::string_view reason, const std::string& why) const {
    return MakeError(absl::StatusCode::kDataLoss, reason, absl::StrCat(ToAbsl(what_), ": ", why),
                     "the file is damaged or not a GGUF model: fetch or make it again");
  }
  absl::Status Truncated() const {
    return Refuse("GGUF_TRUNCATED", absl::StrCat("ends inside its header, at byte ", file_.size()));
  }

  template <typename T>
  absl::StatusOr<T> Fixed() {
    if (remaining() < sizeof(T)) return Truncated();
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }

  absl::StatusOr<std::string> Text(uint64_t max_bytes) {
    NS_ASSIGN_OR_RETURN(const uint64_t length, Fixed<uint64_t>());
    if (length > remaining()) return Truncated();
    if (length > max_bytes) return Refuse("GGUF_INVALID", absl::StrCat("a name of ", length, " bytes"));
    std::string text(reinterpret_cast<const char*>(file_.data()) + position_, length);
    position_ += length;
    return text;
  }

  // One fixed-width element at the position, widened.
  absl::StatusOr<uint64_t> Unsigned(GgufType type) {
    uint64_t value = 0;
    if (remaining() < WidthOf(type)) return Truncated();
    std::memcpy(&value, file_.data() + position_, WidthOf(type));
    position_ += WidthOf(type);
    return value;
  }

 private:
  absl::Span<const uint8_t> file_;
  std::string_view what_;
  uint64_t position_ = 0;
};

int64_t SignExtend(uint64_t value, GgufType type) {
  const int shift = 64 - 8 * static_cast<int>(WidthOf(type));
  return static_cast<int64_t>(value << shift) >> shift;
}

double ToDouble(uint64_t bits, GgufType type) {
  return type == GgufType::kFloat64 ? std::bit_cast<double>(bits)
                                    : std::bit_cast<float>(static_cast<uint32_t>(bits));
}

absl::StatusOr<GgufValue> ReadArray(Reader& in) {
  NS_ASSIGN_OR_RETURN(const uint32_t element_code, in.Fixed<uint32_t>());
  NS_ASSIGN_OR_RETURN(const uint64_t count, in.Fixed<uint64_t>());
  const auto element = static_cast<GgufType>(element_code);
  const uint64_t width = element == GgufType::kString ? 8 : WidthOf(element);
  if (width == 0) return in.Refuse("GGUF_INVALID", absl::StrCat("an array of type ", element_code));
  if (count > in.remaining() / width) return in.Truncated();

  GgufValue value{GgufType::kArray, element, {}};
  if (element == GgufType::kString) {
    std::vector<std::string> out;
    for (uint64_t i = 0; i < count; ++i) {
      NS_ASSIGN_OR_RETURN(std::string text, in.Text(UINT64_MAX));
      out.push_back(std::move(text));
    }
    value.data = std::move(out);
    return value;
  }
  std::vector<uint64_t> raw(count);
  for (uint64_t& v : raw) v = *in.Unsigned(element);  // the length was checked above
  if (element == GgufType::kBool) {
    value.data = std::vector<bool>(raw.begin(), raw.end());
  } else if (IsFloat(element)) {
    std::vector<double> out(count);
    std::transform(raw.begin(), raw.end(), out.begin(), [&](uint64_t v) { return ToDouble(v, element); });
    value.data = std::move(out);
  } else if (IsSigned(element)) {
    std::vector<int64_t> out(count);
    std::transform(raw.begin(), raw.end(), out.begin(), [&](uint64_t v) { return SignExtend(v, element); });
    value.data = std::move(out);
  } else {
    value.data = std::move(raw);
  }
  return value;
}

absl::StatusOr<GgufValue> ReadValue(Reader& in) {
  NS_ASSIGN_OR_RETURN(const uint32_t code, in.Fixed<uint32_t>());
  const auto type = static_cast<GgufType>(code);
  if (type == GgufType::kArray) return ReadArray(in);
  GgufValue value{type, {}, {}};
  if (type == GgufType::kString) {
    NS_ASSIGN_OR_RETURN(value.data, in.Text(UINT64_MAX));
    return value;
  }
  if (WidthOf(type) == 0) return in.Refuse("GGUF_INVALID", absl::StrCat("a value of unknown type ", code));
  NS_ASSIGN_OR_RETURN(const uint64_t raw, in.Unsigned(type));
  if (type == GgufType::kBool) {
    value.data = raw != 0;
  } else if (IsFloat(type)) {
    value.data = ToDouble(raw, type);
  } else if (IsSigned(type)) {
    value.data = SignExtend(raw, type);
  } else {
    value.data = raw;
  }
  return value;
}

absl::StatusOr<GgufTensor> ReadTensor(Reader& in) {
  GgufTensor tensor;
  NS_ASSIGN_OR_RETURN(tensor.name, in.Text(kMaxNameBytes));
  NS_ASSIGN_OR_RETURN(const uint32_t dimensions, in.Fixed<uint32_t>());
  if (dimensions > 4) {
    return in.Refuse("GGUF_INVALID", absl::StrCat("tensor '", tensor.name, "' has ", dimensions, " dimensions"));
  }
  uint64_t rows = 1;
  for (uint32_t d = 0; d < dimensions; ++d) {
    NS_ASSIGN_OR_RETURN(const uint64_t size, in.Fixed<uint64_t>());
    tensor.dims.push_back(size);
    const auto product = d == 0 ? std::optional<uint64_t>(1) : CheckedMul(rows, size);
    if (!product) return in.Refuse("GGUF_INVALID", absl::StrCat("tensor '", tensor.name, "' overflows 2^64 weights"));
    rows = *product;
  }
  NS_ASSIGN_OR_RETURN(const uint32_t type, in.Fixed<uint32_t>());
  const auto format = quant::FormatById(type);
  if (!format) {
    return in.Refuse("GGUF_FORMAT", absl::StrCat("tensor '", tensor.name, "' has type ", type,
                                                 ", which is damage, or newer than this program"));
  }
  tensor.format = *format;
  NS_ASSIGN_OR_RETURN(tensor.offset, in.Fixed<uint64_t>());
  const auto bytes = quant::EncodedBytes(*format, rows, tensor.row_weights());
  if (!bytes) {
    return in.Refuse("GGUF_INVALID", absl::StrCat("tensor '", tensor.name, "': rows of ", tensor.row_weights(),
                                                  " weights do not divide into blocks of its type"));
  }
  tensor.bytes = *bytes;
  return tensor;
}

absl::Status CheckPlacement(const GgufFile& gguf, uint64_t alignment, uint64_t file_size, const Reader& in) {
  std::vector<const GgufTensor*> order;
  for (const GgufTensor& tensor : gguf.tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  uint64_t end = 0;
  for (const GgufTensor* tensor : order) {
    if (tensor->offset % alignment != 0 || tensor->offset < end) {
      return in.Refuse("GGUF_INVALID", absl::StrCat("tensor '", tensor->name, "' is not aligned or overlaps another"));
    }
    const auto tensor_end = CheckedAdd(tensor->offset, tensor->bytes);
    if (!tensor_end || gguf.data_begin > file_size || *tensor_end > file_size - gguf.data_begin) {
      return in.Refuse("GGUF_TRUNCATED", absl::StrCat("tensor '", tensor->name, "' ends past the end of the file"));
    }
    end = *tensor_end;
  }
  return absl::OkStatus();
}

void Put(std::string* out, const void* data, size_t size) { out->append(static_cast<const char*>(data), size); }
template <typename T>
void PutFixed(std::string* out, T value) {
  Put(out, &value, sizeof(value));
}
void PutText(std::string* out, const std::string& text) {
  PutFixed<uint64_t>(out, text.size());
  out->append(text);
}

void PutElement(std::string* out, GgufType type, uint64_t v) { Put(out, &v, WidthOf(type)); }
void PutElement(std::string* out, GgufType type, int64_t v) { Put(out, &v, WidthOf(type)); }
void PutElement(std::string* out, GgufType, bool v) { PutFixed<uint8_t>(out, v ? 1 : 0); }
void PutElement(std::string* out, GgufType, const std::string& v) { PutText(out, v); }
void PutElement(std::string* out, GgufType type, double v) {
  if (type == GgufType::kFloat64) PutFixed<double>(out, v);
  else PutFixed<float>(out, static_cast<float>(v));
}
template <typename T>
void PutElement(std::string* out, GgufType element, const std::vector<T>& values) {
  PutFixed<uint32_t>(out, static_cast<uint32_t>(element));
  PutFixed<uint64_t>(out, values.size());
  for (const T& v : values) PutElement(out, element, v);
}

}  // namespace

uint64_t GgufTensor::rows() const {
  uint64_t rows = 1;
  for (size_t d = 1; d < dims.size(); ++d) rows *= dims[d];
  return rows;
}

const GgufValue* GgufFile::Find(std::string_view key) const {
  for (const GgufMetadata& entry : metadata) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

absl::Status CheckDecodable(const GgufTensor& tensor, std::string_view what) {
  if (quant::CanDecode(tensor.format)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kUnimplemented, "GGUF_TYPE_UNSUPPORTED",
                   absl::StrCat(ToAbsl(what), ": tensor '", tensor.name, "' is ", ToAbsl(quant::InfoOf(tensor.format).name),
                                ", and ", ToAbsl(quant::InfoOf(tensor.format).name), " is not supported"),
                   "the file may be whole: nashswarm inspect lists its tensors; take one of another quantization to read its weights");
}

absl::StatusOr<GgufFile> ParseGguf(absl::Span<const uint8_t> file, std::string_view what) {
  Reader in(file, what);
  if (file.size() < 4 || std::memcmp(file.data(), kMagic, 4) != 0) {
    NS_RETURN_IF_ERROR(RefuseLfsPointer(file, what));
    return in.Refuse("GGUF_MAGIC", "does not begin with GGUF");
  }
  GgufFile gguf;
  (void)in.Fixed<uint32_t>();  // the magic
  NS_ASSIGN_OR_RETURN(gguf.version, in.Fixed<uint32_t>());
  if (gguf.version != 2 && gguf.version != kVersion) {
    return in.Refuse("GGUF_VERSION", absl::StrCat("is GGUF version ", gguf.version, "; 2 and 3 are known"));
  }
  NS_ASSIGN_OR_RETURN(const uint64_t tensors, in.Fixed<uint64_t>());
  NS_ASSIGN_OR_RETURN(const uint64_t entries, in.Fixed<uint64_t>());
  // The shortest tensor entry takes 24 bytes and the shortest key-value 13: larger counts cannot be true.
  if (tensors > in.remaining() / 24 || entries > in.remaining() / 13) return in.Truncated();

  uint64_t alignment = kGgufAlignment;
  std::unordered_set<std::string> keys, names;
  for (uint64_t i = 0; i < entries; ++i) {
    NS_ASSIGN_OR_RETURN(std::string key, in.Text(kMaxKeyBytes));
    NS_ASSIGN_OR_RETURN(GgufValue value, ReadValue(in));
    if (!keys.insert(key).second) return in.Refuse("GGUF_INVALID", absl::StrCat("key '", key, "' appears twice"));
    if (key == "general.alignment" && std::holds_alternative<uint64_t>(value.data)) {
      alignment = std::get<uint64_t>(value.data);
      if (alignment < 8 || alignment > (1u << 20) || (alignment & (alignment - 1)) != 0) {
        return in.Refuse("GGUF_INVALID", absl::StrCat("general.alignment is ", alignment));
      }
    }
    gguf.metadata.push_back({std::move(key), std::move(value)});
  }
  for (uint64_t i = 0; i < tensors; ++i) {
    NS_ASSIGN_OR_RETURN(GgufTensor tensor, ReadTensor(in));
    if (!names.insert(tensor.name).second) {
      return in.Refuse("GGUF_INVALID", absl::StrCat("tensor '", tensor.name, "' appears twice"));
    }
    gguf.tensors.push_back(std::move(tensor));
  }
  gguf.data_begin = AlignUp(in.position(), alignment);
  NS_RETURN_IF_ERROR(CheckPlacement(gguf, alignment, file.size(), in));
  return gguf;
}

std::string SerializeGgufHeader(absl::Span<const GgufMetadata> metadata, std::vector<GgufTensor>* tensors) {
  std::string out(kMagic);
  PutFixed<uint32_t>(&out, kVersion);
  PutFixed<uint64_t>(&out, tensors->size());
  PutFixed<uint64_t>(&out, metadata.size());
  for (const GgufMetadata& entry : metadata) {
    PutText(&out, entry.key);
    PutFixed<uint32_t>(&out, static_cast<uint32_t>(entry.value.type));
    const GgufType type = entry.value.type == GgufType::kArray ? entry.value.element : entry.value.type;
    std::visit([&](const auto& data) { PutElement(&out, type, data); }, entry.value.data);
  }
  uint64_t offset = 0;
  for (GgufTensor& tensor : *tensors) {
    tensor.offset = offset;
    offset = AlignUp(offset + tensor.bytes, kGgufAlignment);
    PutText(&out, tensor.name);
    PutFixed<uint32_t>(&out, static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t size : tensor.dims) PutFixed<uint64_t>(&out, size);
    PutFixed<uint32_t>(&out, static_cast<uint32_t>(tensor.format));
    PutFixed<uint64_t>(&out, tensor.offset);
  }
  out.resize(AlignUp(out.size(), kGgufAlignment), '\0');
  return out;
}

}  // namespace nashswarm::checkpoint
