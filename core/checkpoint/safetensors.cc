#include "core/checkpoint/safetensors.h"

#include <tuple>
#include <algorithm>
#include <bit>
#include <cstring>

#include "absl/strings/str_join.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/checkpoint/lfs_pointer.h"

namespace nashswarm::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "file formats here are little-endian");

absl::Status Refuse(std::string_view reason, std::string_view what, const std::string& why,
                    std::string_view hint = "download the file again and compare its SHA-256 with the publisher's") {
  return MakeError(absl::StatusCode::kDataLoss, reason, absl::StrCat(ToAbsl(what), ": ", why), hint);
}

absl::Status RefuseForeign(absl::Span<const uint8_t> file, std::string_view what) {
  NS_RETURN_IF_ERROR(RefuseLfsPointer(file, what));
  if (file.size() >= 4 && std::memcmp(file.data(), "GGUF", 4) == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "GGUF_AS_SOURCE", absl::StrCat(ToAbsl(what), ": is a GGUF file, not safetensors"),
                     "give the original checkpoint in safetensors; the weights of a GGUF file are already quantized");
  }
  const bool zip = file.size() >= 4 && std::memcmp(file.data(), "PK\x03\x04", 4) == 0;
  // A pickle opens with PROTO (0x80) and its version, where a safetensors file has the two low bytes of a length.
  // A real header of that length exists too, so the opcode after it decides: '{' is byte 8 of every safetensors file.
  const bool pickle = file.size() >= 3 && file[0] == 0x80 && file[1] >= 2 && file[1] <= 5 &&
                      !(file.size() >= 9 && file[8] == '{');
  if (!zip && !pickle) return absl::OkStatus();
  return Refuse("PICKLE_REFUSED", what,
                zip ? "is a zip archive (a PyTorch checkpoint), not safetensors" : "is a Python pickle, not safetensors",
                "pickles can run code; convert with transformers: model.save_pretrained(DIR, safe_serialization=True)");
}

absl::StatusOr<std::vector<uint64_t>> ParseShape(const Json& value, const std::string& name, std::string_view what) {
  if (!value.is_array() || value.size() > kMaxDimensions) {
    return Refuse("TENSOR_INVALID", what,
                  absl::StrCat("tensor '", name, "': shape is not an array of at most ", kMaxDimensions, " sizes"));
  }
  std::vector<uint64_t> shape;
  for (const Json& size : value) {
    if (!size.is_number_unsigned()) {
      return Refuse("TENSOR_INVALID", what,
                    absl::StrCat("tensor '", name, "': a size in its shape is not a non-negative integer"));
    }
    shape.push_back(size.get<uint64_t>());
  }
  return shape;
}

absl::StatusOr<TensorEntry> ParseTensor(const std::string& name, const Json& value, uint64_t data_begin,
                                        std::string_view what) {
  const auto invalid = [&](const std::string& why) {
    return Refuse("TENSOR_INVALID", what, absl::StrCat("tensor '", name, "': ", why));
  };
  if (!value.is_object()) return invalid("its header entry is not an object");
  const auto dtype_name = JsonString(value, "dtype");
  const auto dtype = DTypeByName(dtype_name);
  if (dtype_name == "F4" || dtype_name == "F6_E2M3" || dtype_name == "F6_E3M2") {
    return MakeError(absl::StatusCode::kFailedPrecondition, "ALREADY_QUANTIZED",
                     absl::StrCat(ToAbsl(what), ": tensor '", name, "' is already quantized (", dtype_name, ")"),
                     "give the original checkpoint: what a first quantization lost cannot be had back");
  }
  if (!dtype.has_value()) return invalid(absl::StrCat("unknown dtype '", dtype_name, "'"));
  if (!value.contains("shape")) return invalid("it has no shape");
  TensorEntry tensor{name, *dtype, {}, 0, 0};
  NS_ASSIGN_OR_RETURN(tensor.shape, ParseShape(value["shape"], name, what));

  const auto offsets = value.find("data_offsets");
  if (offsets == value.end() || !offsets->is_array() || offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned()) {
    return invalid("data_offsets is not a pair of non-negative integers");
  }
  const uint64_t begin = (*offsets)[0].get<uint64_t>(), end = (*offsets)[1].get<uint64_t>();
  if (begin > end) return invalid(absl::StrCat("data_offsets run backwards, from ", begin, " to ", end));

  std::optional<uint64_t> bytes = BytesOf(*dtype);
  for (const uint64_t size : tensor.shape) bytes = bytes ? CheckedMul(*bytes, size) : bytes;
  if (!bytes.has_value()) {
    return Refuse("TENSOR_SIZE", what,
                  absl::StrCat("tensor '", name, "': shape [", absl::StrJoin(tensor.shape, ", "),
                               "] times its dtype is more than 2^64 bytes"));
  }
  if (*bytes != end - begin) {
    return Refuse("TENSOR_SIZE", what,
                  absl::StrCat("tensor '", name, "': shape [", absl::StrJoin(tensor.shape, ", "), "] of ",
                               ToAbsl(NameOf(*dtype)), " needs ", *bytes, " bytes, data_offsets span ", end - begin));
  }
  const auto file_begin = CheckedAdd(data_begin, begin), file_end = CheckedAdd(data_begin, end);
  if (!file_begin || !file_end) return invalid("data_offsets are past 2^64");
  tensor.begin = *file_begin;
  tensor.end = *file_end;
  return tensor;
}

absl::Status CheckContiguous(const std::vector<TensorEntry>& tensors, uint64_t data_begin, uint64_t file_size,
                             std::string_view what) {
  uint64_t expected = data_begin;
  const TensorEntry* previous = nullptr;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin < expected) {
      return Refuse("TENSOR_OVERLAP", what,
                    absl::StrCat("tensor '", tensor.name, "' overlaps tensor '", previous->name, "'"));
    }
    if (tensor.begin > expected) {
      return Refuse("TENSOR_GAP", what,
                    absl::StrCat(tensor.begin - expected, " bytes before tensor '", tensor.name, "' belong to no tensor"));
    }
    if (tensor.end > file_size) {
      return Refuse("FILE_TRUNCATED", what,
                    absl::StrCat("tensor '", tensor.name, "' ends at byte ", tensor.end, ", the file at byte ", file_size),
                    "the download is not complete: fetch the file again");
    }
    expected = tensor.end;
    previous = &tensor;
  }
  if (expected != file_size) {
    return Refuse("TRAILING_BYTES", what, absl::StrCat(file_size - expected, " bytes after the last tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensors(absl::Span<const uint8_t> file, std::string_view what) {
  if (file.empty()) return Refuse("FILE_EMPTY", what, "the file is empty");
  NS_RETURN_IF_ERROR(RefuseForeign(file, what));
  if (file.size() < 8) return Refuse("HEADER_LENGTH", what, "shorter than the 8 bytes of a header length");
  uint64_t length;
  std::memcpy(&length, file.data(), 8);
  if (length == 0) return Refuse("HEADER_LENGTH", what, "the header length is 0");
  if (length > kMaxHeaderBytes) {
    return Refuse("HEADER_LENGTH", what,
                  absl::StrCat("the header length is ", length, ", more than the ", kMaxHeaderBytes, " bytes allowed"));
  }
  if (length > file.size() - 8) {
    return Refuse("HEADER_LENGTH", what,
                  absl::StrCat("the header length is ", length, ", the file has only ", file.size() - 8, " bytes after it"));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  if (text.front() != '{') return Refuse("HEADER_INVALID", what, "the header does not begin with '{'");
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, what));

  const uint64_t data_begin = 8 + length;
  SafetensorsHeader header;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) return Refuse("HEADER_INVALID", what, "__metadata__ is not an object");
      for (const auto& [key, entry] : value.items()) {
        if (!entry.is_string()) return Refuse("HEADER_INVALID", what, "__metadata__ holds something else than strings");
        header.metadata[key] = entry.get<std::string>();
      }
      continue;
    }
    NS_ASSIGN_OR_RETURN(TensorEntry tensor, ParseTensor(name, value, data_begin, what));
    header.tensors.push_back(std::move(tensor));
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  NS_RETURN_IF_ERROR(CheckContiguous(header.tensors, data_begin, file.size(), what));
  return header;
}

std::string SerializeSafetensorsHeader(absl::Span<const TensorShape> tensors,
                                       const std::map<std::string, std::string>& metadata) {
  OrderedJson json = OrderedJson::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorShape& tensor : tensors) {
    uint64_t end = BytesOf(tensor.dtype);
    for (const uint64_t size : tensor.shape) end *= size;
    end += offset;
    json[tensor.name] = {{"dtype", NameOf(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string header = json.dump();
  header.resize(AlignUp(header.size(), 8), ' ');
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header;
}

absl::Status WriteSafetensors(const std::string& path, absl::Span<const TensorToWrite> tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<TensorShape> shapes;
  for (const TensorToWrite& entry : tensors) shapes.push_back(entry.tensor);
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  NS_RETURN_IF_ERROR(file.Append(SerializeSafetensorsHeader(shapes, metadata)));
  for (const TensorToWrite& entry : tensors) NS_RETURN_IF_ERROR(file.Append(entry.bytes));
  return file.Commit();
}

}  // namespace nashswarm::checkpoint
