// From an nsq artifact back to a checkpoint, and the files that travel along.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <new>

#include "core/artifact/nsq_artifact.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "core/coding/crc32.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::DType;

constexpr char kConfig[] = "config.json", kQuantization[] = "quantization_config";

// transformers takes this key for the name of a weight file, knows no such file, and shows the text in its error: the one place
// where somebody who has not imported our package reads what to do.
constexpr char kTransformersWeights[] = "transformers_weights";
constexpr char kTransformersHint[] =
    "model.nsq, compressed by nashswarm: with transformers 5 or later run 'import nashswarm' (its Python package) before "
    "from_pretrained; or make a plain checkpoint of the directory with 'nashswarm unpack DIRECTORY -o OUT'";

bool EndsWith(std::string_view name, std::string_view end) { return name.size() >= end.size() && name.ends_with(end); }

// All but weights, their indices, and what an artifact has of its own.
bool IsCompanion(const std::string& name) {
  for (const char* end : {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".gguf", ".nsq"}) {
    if (EndsWith(name, end)) return false;
  }
  for (const char* temporary : {".safetensors.tmp-", ".nsq.tmp-"}) {  // an AtomicFile that is being written, or was left
    if (name.find(temporary) != std::string::npos) return false;
  }
  if (EndsWith(name, ".index.json")) return false;
  if (name.starts_with("adapter_")) return false;  // its weights stay behind, and a loader would look for them
  for (const char* own : {kConfig, kManifestFile, "report.json", "report.html"}) {
    if (name == own) return false;
  }
  return true;
}

// `to` may be `from`, or lie in it: its own files are not copied again.
absl::Status CopyFiles(const std::string& from, const std::string& to) {
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFiles(from));
  const std::filesystem::path target = std::filesystem::weakly_canonical(to), source = std::filesystem::weakly_canonical(from);
  const std::string inside = target == source ? "" : (target.lexically_relative(source) / "").string();
  if (inside.empty()) return absl::OkStatus();
  for (const std::string& name : names) {
    if (!IsCompanion(name) || name.starts_with(inside)) continue;
    NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(JoinPath(from, name)));
    const std::string path = JoinPath(to, name);
    NS_RETURN_IF_ERROR(MakeDirectories(DirName(path)));
    NS_RETURN_IF_ERROR(WriteFileUnsynced(path, content));
  }
  return absl::OkStatus();
}

// Keys keep their order. The parser that checks depth and duplicates goes first.
absl::StatusOr<OrderedJson> ReadConfig(const std::string& directory) {
  const std::string path = JoinPath(directory, kConfig);
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  NS_RETURN_IF_ERROR(ParseJson(text, path).status());
  // Literals that JSON does not have are kept for WriteConfig.
  OrderedJson config = OrderedJson::parse(QuoteLiterals(text, kLiteralMark), nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", absl::StrCat(path, ": is no object"));
  return config;
}

absl::Status WriteConfig(const OrderedJson& config, const std::string& directory) {
  return WriteFileUnsynced(JoinPath(directory, kConfig), PlainLiterals(config.dump(2)) + "\n");
}

coding::Output OutputOf(DType dtype) {
  return dtype == DType::kF32 ? coding::Output::kF32 : dtype == DType::kF16 ? coding::Output::kF16 : coding::Output::kBF16;
}

// in: rows x columns elements; out: columns x `stride`, from column `first`.
template <typename Element>
void Transpose(const Element* in, uint64_t rows, uint64_t columns, Element* out, uint64_t stride, uint64_t first) {
  constexpr uint64_t kBand = 16;  // elements of a cache line or two on either side
  for (uint64_t r0 = 0; r0 < rows; r0 += kBand) {
    const uint64_t last = std::min(r0 + kBand, rows);
    for (uint64_t c = 0; c < columns; ++c) {
      for (uint64_t r = r0; r < last; ++r) out[c * stride + first + r] = in[r * columns + c];
    }
  }
}

absl::Status DecodeStream(const nsq::Stream& stream, NsqTensor::Coding coding, DType dtype, int threads, uint8_t* out) {
  const nsq::Grid& grid = stream.grid();
  const uint64_t element = checkpoint::BytesOf(dtype);
  return ParallelFor(threads, grid.tiles(), [&](uint64_t t) -> absl::Status {
    const auto tile = static_cast<uint32_t>(t);
    const uint64_t first = t * grid.tile_rows();
    if (coding == NsqTensor::Coding::kStream) {
      return stream.DecodeTile(tile, OutputOf(dtype), out + first * grid.columns * element, grid.columns);
    }
    std::vector<float> buffer((grid.RowsOf(tile) * static_cast<uint64_t>(grid.columns) * element + 3) / 4);
    NS_RETURN_IF_ERROR(stream.DecodeTile(tile, OutputOf(dtype), buffer.data(), grid.columns));
    if (element == 4) {
      Transpose(buffer.data(), grid.RowsOf(tile), grid.columns, reinterpret_cast<float*>(out), grid.rows, first);
    } else {
      Transpose(reinterpret_cast<const uint16_t*>(buffer.data()), grid.RowsOf(tile), grid.columns, reinterpret_cast<uint16_t*>(out),
                grid.rows, first);
    }
    return absl::OkStatus();
  });
}

// F16 ends at 65504; other infinities and NaNs are damage.
absl::Status CheckFinite(const NsqTensor& tensor, DType dtype, absl::Span<const uint8_t> bytes) {
  const auto any = [&](auto element, auto exponent) {
    bool found = false;
    for (size_t at = 0; at < bytes.size(); at += sizeof(element)) {
      std::memcpy(&element, bytes.data() + at, sizeof(element));
      found |= (element & exponent) == exponent;
    }
    return found;
  };
  const bool found = dtype == DType::kF32   ? any(uint32_t{}, uint32_t{0x7f800000})
                     : dtype == DType::kF16 ? any(uint16_t{}, uint16_t{0x7c00})
                                            : any(uint16_t{}, uint16_t{0x7f80});
  if (!found) return absl::OkStatus();
  const std::string name = absl::StrCat("tensor '", tensor.name, "'");
  if (dtype == DType::kF16) {
    return MakeError(absl::StatusCode::kOutOfRange, "DTYPE_TOO_NARROW", name + ": has weights beyond the range of F16", "unpack it to F32 or BF16");
  }
  return MakeError(absl::StatusCode::kDataLoss, "ARTIFACT_NON_FINITE", name + ": decodes to NaN or infinity",
                   "the file is damaged: copy, download or compress it again");
}

absl::Status DecodePlain(const OpenNsq& artifact, const NsqTensor& tensor, DType dtype, uint8_t* out) {
  const absl::Span<const uint8_t> stored = artifact.BytesOf(tensor);
  if (coding::Crc32(stored) != tensor.crc) {
    return MakeError(absl::StatusCode::kDataLoss, "NSQ_TENSOR", absl::StrCat("tensor '", tensor.name, "': checksum mismatch"),
                     "the file is damaged: copy, download or compress it again");
  }
  if (tensor.plain_dtype == dtype) {
    std::copy(stored.begin(), stored.end(), out);
    return absl::OkStatus();
  }
  std::vector<float> values(tensor.weights());
  checkpoint::ToFloat(tensor.plain_dtype, stored.data(), values.size(), values.data());
  const std::string bytes = PlainBytes(dtype, values);
  std::memcpy(out, bytes.data(), bytes.size());
  return absl::OkStatus();
}

absl::Status Resize(uint64_t bytes, const NsqTensor& tensor, std::vector<uint8_t>* buffer) {
  try {
    buffer->resize(bytes);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                     absl::StrCat("tensor '", tensor.name, "': no memory for its ", bytes, " bytes"), "unpack it to F16 or on a larger machine");
  }
}

// What the index promises takes memory only when the bytes bear it out.
absl::Status CheckBytes(const OpenNsq& artifact, const NsqTensor& tensor) {
  if (!tensor.coded()) return absl::OkStatus();
  NS_ASSIGN_OR_RETURN(const nsq::Stream stream, artifact.StreamOf(tensor));
  for (uint32_t tile = 0; tile < stream.grid().tiles(); ++tile) NS_RETURN_IF_ERROR(stream.CheckTile(tile));
  return absl::OkStatus();
}

}  // namespace

absl::Status DecodeTensor(const OpenNsq& artifact, const NsqTensor& tensor, DType dtype, int threads, absl::Span<uint8_t> out) {
  if (out.size() != tensor.weights() * checkpoint::BytesOf(dtype)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "BUFFER_SIZE",
                     absl::StrCat("tensor '", tensor.name, "': takes ", tensor.weights() * checkpoint::BytesOf(dtype),
                                  " bytes, and the buffer has ", out.size()));
  }
  if (!tensor.coded()) {
    NS_RETURN_IF_ERROR(DecodePlain(artifact, tensor, dtype, out.data()));
  } else {
    NS_ASSIGN_OR_RETURN(const nsq::Stream stream, artifact.StreamOf(tensor));
    NS_RETURN_IF_ERROR(DecodeStream(stream, tensor.coding, dtype, ResolveThreads(threads), out.data()));
  }
  return CheckFinite(tensor, dtype, out);
}

absl::StatusOr<ExpertOrders> ExpertOrdersOf(const OpenNsq& artifact) {
  if (!PathExists(JoinPath(artifact.directory, kConfig))) return ExpertOrders();
  NS_ASSIGN_OR_RETURN(const OrderedJson config, ReadConfig(artifact.directory));
  const auto quantization = config.find(kQuantization);
  const bool says = quantization != config.end() && quantization->is_object() && quantization->contains(kNsqExpertOrder);
  if (!says) return ExpertOrders();
  return ExpertOrdersOf(Json(quantization->at(kNsqExpertOrder)), JoinPath(artifact.directory, kConfig));
}

absl::Status CopyCompanions(const std::string& checkpoint_directory, double bits_per_weight, const ExpertOrders& orders,
                            const std::string& directory) {
  NS_RETURN_IF_ERROR(CopyFiles(checkpoint_directory, directory));
  NS_ASSIGN_OR_RETURN(OrderedJson config, ReadConfig(checkpoint_directory));
  config[kQuantization] = {{"quant_method", kNsqMethod}, {"version", kNsqVersion}, {"bits_per_weight", bits_per_weight}};
  if (!orders.empty()) config[kQuantization][kNsqExpertOrder] = orders;
  config[kTransformersWeights] = kTransformersHint;
  return WriteConfig(config, directory);
}

bool IsNsq(const std::string& path) {
  if (!IsDirectory(path)) return false;
  const absl::StatusOr<OrderedJson> config = ReadConfig(path);
  if (!config.ok()) return false;
  const auto quantization = config->find(kQuantization);
  if (quantization == config->end() || !quantization->is_object()) return false;
  const auto method = quantization->find("quant_method");
  return method != quantization->end() && method->is_string() && *method == kNsqMethod;
}

DType CheckpointDtype(const OpenNsq& artifact) {
  const absl::StatusOr<OrderedJson> config = ReadConfig(artifact.directory);
  if (!config.ok()) return DType::kF32;
  for (const char* key : {"dtype", "torch_dtype"}) {
    const auto value = config->find(key);
    if (value == config->end() || !value->is_string()) continue;
    std::string name = value->get<std::string>();
    if (name.starts_with("torch.")) name.erase(0, 6);
    return name == "float16" ? DType::kF16 : name == "bfloat16" ? DType::kBF16 : DType::kF32;
  }
  return DType::kF32;
}

absl::Status Unpack(const OpenNsq& artifact, DType dtype, const std::string& out, int threads,
                    const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<checkpoint::TensorShape> shapes;
  uint64_t total = 0, done = 0;
  for (const NsqTensor& tensor : artifact.tensors) {
    shapes.push_back({tensor.name, dtype, tensor.shape});
    total += tensor.weights();
  }
  NS_ASSIGN_OR_RETURN(const ExpertOrders orders, ExpertOrdersOf(artifact));
  NS_RETURN_IF_ERROR(MakeDirectories(out));
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(JoinPath(out, kUnpackedFile)));
  const std::map<std::string, std::string> metadata = WithExpertOrders({{"format", "pt"}}, orders);
  NS_RETURN_IF_ERROR(file.Append(checkpoint::SerializeSafetensorsHeader(shapes, metadata)));
  std::vector<uint8_t> buffer;
  for (const NsqTensor& tensor : artifact.tensors) {
    NS_RETURN_IF_ERROR(CheckBytes(artifact, tensor));
    NS_RETURN_IF_ERROR(Resize(tensor.weights() * checkpoint::BytesOf(dtype), tensor, &buffer));
    NS_RETURN_IF_ERROR(DecodeTensor(artifact, tensor, dtype, threads, absl::MakeSpan(buffer)));
    NS_RETURN_IF_ERROR(file.Append(buffer));
    done += tensor.weights();
    progress(done, total);
  }
  NS_RETURN_IF_ERROR(CopyFiles(artifact.directory, out));
  NS_ASSIGN_OR_RETURN(OrderedJson config, ReadConfig(artifact.directory));
  config.erase(kQuantization);
  config.erase(kTransformersWeights);
  NS_RETURN_IF_ERROR(WriteConfig(config, out));
  return file.Commit();
}

}  // namespace nashswarm::artifact
