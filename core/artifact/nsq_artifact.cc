#include "core/artifact/nsq_artifact.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>

#include "core/base/checked.h"
#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "core/coding/crc32.h"

namespace nashswarm::artifact {
namespace {

using checkpoint::DType;

constexpr char kIndex[] = "nsq.index", kBlock[] = "nsq.data";
constexpr uint64_t kMaxIndexBytes = 100u << 20;  // unpacked; as safetensors headers
constexpr uint64_t kCopyBytes = 4u << 20;
constexpr char kStream[] = "nsq", kTransposed[] = "nsq-transposed";
const std::map<std::string, std::string> kMetadata = {{"format", "nsq"}, {"nsq_version", "1"}};

std::string_view AsText(absl::Span<const uint8_t> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

absl::Status Damaged(std::string_view reason, const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, reason, what, "the file is damaged: copy, download or compress it again");
}

std::string CodingName(const NsqTensor& tensor) {
  if (tensor.coding == NsqTensor::Coding::kStream) return kStream;
  if (tensor.coding == NsqTensor::Coding::kTransposedStream) return kTransposed;
  return std::string(NameOf(tensor.plain_dtype));
}

// The index as it is stored: JSON, deflated. Names and shapes repeat, so that a tensor takes about ten bytes.
std::string PackIndex(const std::vector<NsqTensor>& tensors) {
  OrderedJson list = OrderedJson::array();
  for (const NsqTensor& tensor : tensors) {
    OrderedJson entry = {{"name", tensor.name}, {"shape", tensor.shape}, {"dtype", NameOf(tensor.dtype)},
                         {"coding", CodingName(tensor)}, {"bytes", tensor.bytes}};
    if (!tensor.coded()) entry["crc32"] = tensor.crc;
    list.push_back(std::move(entry));
  }
  const std::string text = OrderedJson{{"tensors", std::move(list)}}.dump();
  uLongf size = compressBound(text.size());
  std::string packed(size, '\0');
  // With room for the bound it cannot fail.
  compress2(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(text.data()), text.size(), Z_BEST_COMPRESSION);
  packed.resize(size);
  return packed;
}

absl::StatusOr<std::string> UnpackIndex(absl::Span<const uint8_t> packed, const std::string& what) {
  std::string text;
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return MakeError(absl::StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "no memory for the index");
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  int result = Z_OK;
  while (result == Z_OK && text.size() < kMaxIndexBytes) {
    const size_t before = text.size();
    text.resize(before + (1u << 16));
    stream.next_out = reinterpret_cast<Bytef*>(text.data() + before);
    stream.avail_out = 1u << 16;
    result = inflate(&stream, Z_NO_FLUSH);
    text.resize(text.size() - stream.avail_out);
  }
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) return Damaged("NSQ_INDEX", absl::StrCat(what, ": its index does not unpack"));
  return text;
}

absl::StatusOr<NsqTensor> ParseTensor(const Json& entry, const std::string& what) {
  const auto bad = [&](const char* problem) {
    return Damaged("NSQ_INDEX", absl::StrCat(what, ": index: tensor '", JsonString(entry, "name"), "': ", problem));
  };
  if (!entry.is_object()) return Damaged("NSQ_INDEX", absl::StrCat(what, ": index: an entry is no object"));
  NsqTensor tensor;
  tensor.name = JsonString(entry, "name");
  if (tensor.name.empty()) return bad("it has no name");
  const auto dtype = checkpoint::DTypeByName(JsonString(entry, "dtype"));
  if (!dtype || !checkpoint::IsWeight(*dtype)) return bad("unknown dtype");
  tensor.dtype = *dtype;
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array() || shape->size() > checkpoint::kMaxDimensions) return bad("it has no shape");
  std::optional<uint64_t> weights = 1;
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned()) return bad("a size is no number");
    tensor.shape.push_back(size.get<uint64_t>());
    weights = weights ? CheckedMul(*weights, tensor.shape.back()) : std::nullopt;
  }
  if (!weights || *weights > (uint64_t{1} << 40)) return bad("an impossible shape");
  const int64_t bytes = JsonInt(entry, "bytes", -1);
  if (bytes < 0) return bad("it has no length");
  tensor.bytes = static_cast<uint64_t>(bytes);
  const std::string coding = JsonString(entry, "coding");
  if (coding == kStream || coding == kTransposed) {
    tensor.coding = coding == kStream ? NsqTensor::Coding::kStream : NsqTensor::Coding::kTransposedStream;
    const bool fits = tensor.shape.size() == 2 && std::max(tensor.shape[0], tensor.shape[1]) <= UINT32_MAX;
    return fits ? absl::StatusOr<NsqTensor>(std::move(tensor)) : bad("it is no matrix");
  }
  const auto plain = checkpoint::DTypeByName(coding);
  if (!plain || !checkpoint::IsWeight(*plain)) return bad("unknown coding");
  tensor.plain_dtype = *plain;
  tensor.crc = static_cast<uint32_t>(JsonInt(entry, "crc32", 0));
  if (CheckedMul(*weights, checkpoint::BytesOf(*plain)) != tensor.bytes) return bad("its length is not its shape's");
  return tensor;
}

std::string Header(uint64_t index_bytes, uint64_t block_bytes) {
  const checkpoint::TensorShape shapes[] = {{kIndex, DType::kU8, {index_bytes}}, {kBlock, DType::kU8, {block_bytes}}};
  return checkpoint::SerializeSafetensorsHeader(shapes, kMetadata);
}

absl::Status CheckDigest(const OpenNsq& artifact) {
  if (!artifact.manifest.has_value() || !artifact.manifest->contains("artifact")) return absl::OkStatus();
  const Json& expected = (*artifact.manifest)["artifact"];
  if (ToHex(Sha256Of(AsText(artifact.file->bytes()))) == JsonString(expected, "sha256")) return absl::OkStatus();
  return Damaged("ARTIFACT_DIGEST", absl::StrCat(artifact.file->path(), ": its SHA-256 is not the manifest's"));
}

absl::Status CheckPlain(const OpenNsq& artifact, const NsqTensor& tensor) {
  if (coding::Crc32(artifact.BytesOf(tensor)) == tensor.crc) return absl::OkStatus();
  return Damaged("NSQ_TENSOR", absl::StrCat("tensor '", tensor.name, "': checksum mismatch"));
}

absl::Status CheckFinite(const NsqTensor& tensor, absl::Span<const float> values, const std::string& where) {
  for (const float value : values) {
    if (!std::isfinite(value)) return Damaged("ARTIFACT_NON_FINITE", absl::StrCat("tensor '", tensor.name, "'", where, ": decodes to NaN or infinity"));
  }
  return absl::OkStatus();
}

absl::Status VerifyTensor(const OpenNsq& artifact, const NsqTensor& tensor) {
  if (!tensor.coded()) {
    NS_RETURN_IF_ERROR(CheckPlain(artifact, tensor));
    std::vector<float> values(tensor.weights());
    checkpoint::ToFloat(tensor.plain_dtype, artifact.BytesOf(tensor).data(), values.size(), values.data());
    return CheckFinite(tensor, values, "");
  }
  NS_ASSIGN_OR_RETURN(const nsq::Stream stream, artifact.StreamOf(tensor));
  std::vector<float> values(static_cast<size_t>(stream.grid().tile_rows()) * tensor.columns());
  // All tiles, though one is bad: the first bad one is the one to name.
  for (uint32_t tile = 0; tile < stream.grid().tiles(); ++tile) {
    NS_RETURN_IF_ERROR(stream.DecodeTile(tile, coding::Output::kF32, values.data(), tensor.columns()));
    NS_RETURN_IF_ERROR(CheckFinite(tensor, values, absl::StrCat(", tile ", tile)));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t NsqTensor::weights() const {
  uint64_t count = 1;
  for (const uint64_t size : shape) count *= size;
  return count;
}

DType PlainDtype(DType source, absl::Span<const float> values) {
  if (source == DType::kF16 || source == DType::kBF16) return source;
  constexpr float kGreatestHalf = 65504.0f, kLeastNormalHalf = 0x1p-14f;
  for (const float value : values) {
    const float magnitude = std::abs(value);
    // What is smaller than a normal half by itself loses digits that count for nothing beside the tensor's other values.
    if (!(magnitude <= kGreatestHalf)) return DType::kF32;
  }
  const bool tiny = !values.empty() && std::all_of(values.begin(), values.end(), [&](float v) { return std::abs(v) < kLeastNormalHalf; }) &&
                    std::any_of(values.begin(), values.end(), [](float v) { return v != 0.0f; });
  return tiny ? DType::kF32 : DType::kF16;
}

std::string PlainBytes(DType dtype, absl::Span<const float> values) {
  std::string out(values.size() * checkpoint::BytesOf(dtype), '\0');
  char* to = out.data();
  for (const float value : values) {
    if (dtype == DType::kF32) {
      std::memcpy(to, &value, 4);
      to += 4;
      continue;
    }
    const uint16_t bits = dtype == DType::kF16 ? FloatToHalf(value) : FloatToBFloat16(value);
    std::memcpy(to, &bits, 2);
    to += 2;
  }
  return out;
}

uint64_t NsqOverheadBound(std::vector<NsqTensor> tensors) {
  // A number of up to 13 digits takes at most 13 bytes more than one of a single digit, deflated or not.
  constexpr uint64_t kLengthBytes = 13, kHeaderBytes = 64;
  const uint64_t count = tensors.size();
  for (NsqTensor& tensor : tensors) {
    if (tensor.coded()) tensor.bytes = 0;
  }
  const uint64_t index = PackIndex(tensors).size() + 2 * count + kLengthBytes;
  return index + Header(index, uint64_t{1} << 40).size() + kHeaderBytes / 8;
}

absl::StatusOr<WrittenFile> WriteNsq(const std::string& path, const std::vector<NsqTensor>& tensors,
                                     absl::Span<const std::string> parts, const std::function<void(uint64_t)>& progress) {
  uint64_t block = 0;
  for (const NsqTensor& tensor : tensors) block += tensor.bytes;
  const std::string index = PackIndex(tensors), head = Header(index.size(), block) + index;
  Sha256 hash;
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  hash.Update(head);
  NS_RETURN_IF_ERROR(file.Append(head));
  for (const std::string& part : parts) {
    NS_ASSIGN_OR_RETURN(const auto mapping, MappedFile::Open(part));
    for (uint64_t offset = 0; offset < mapping->bytes().size(); offset += kCopyBytes) {
      const auto piece = mapping->bytes().subspan(offset, kCopyBytes);
      hash.Update(AsText(piece));
      NS_RETURN_IF_ERROR(file.Append(piece));
      progress(file.position());
    }
  }
  if (file.position() != head.size() + block) {
    return MakeError(absl::StatusCode::kInternal, "ARTIFACT_SIZE",
                     absl::StrCat(path, ": its parts make ", file.position(), " bytes, its tensors ", head.size() + block));
  }
  NS_RETURN_IF_ERROR(file.CommitUnsynced());
  return WrittenFile{head.size() + block, hash.Finish()};
}

absl::StatusOr<nsq::Stream> OpenNsq::StreamOf(const NsqTensor& tensor) const {
  return nsq::Stream::Open(BytesOf(tensor), tensor.rows(), tensor.columns(), tensor.name);
}

absl::StatusOr<OpenNsq> ReadNsq(const std::string& directory) {
  OpenNsq open;
  open.directory = directory;
  const std::string path = JoinPath(directory, kNsqFile);
  NS_ASSIGN_OR_RETURN(open.file, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(const checkpoint::SafetensorsHeader header, checkpoint::ParseSafetensors(open.file->bytes(), path));
  const auto tensor = [&](size_t i, const char* name) {
    return header.tensors.size() == 2 && header.tensors[i].name == name && header.tensors[i].dtype == DType::kU8;
  };
  if (header.metadata != kMetadata || !tensor(0, kIndex) || !tensor(1, kBlock)) {
    return Damaged("NSQ_INDEX", absl::StrCat(path, ": is not of the nsq format, version 1"));
  }
  const checkpoint::TensorEntry& index = header.tensors[0];
  NS_ASSIGN_OR_RETURN(const std::string text, UnpackIndex(open.file->bytes().subspan(index.begin, index.end - index.begin), path));
  NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, path));
  open.block_begin = header.tensors[1].begin;
  const uint64_t block = header.tensors[1].end - header.tensors[1].begin;
  uint64_t offset = 0;
  const auto list = json.find("tensors");
  if (list == json.end() || !list->is_array()) return Damaged("NSQ_INDEX", absl::StrCat(path, ": its index lists no tensors"));
  for (const Json& entry : *list) {
    NS_ASSIGN_OR_RETURN(NsqTensor parsed, ParseTensor(entry, path));
    if (parsed.bytes > block - offset) return Damaged("NSQ_INDEX", absl::StrCat(path, ": tensor '", parsed.name, "' ends beyond the file"));
    parsed.offset = offset;
    offset += parsed.bytes;
    open.tensors.push_back(std::move(parsed));
  }
  if (offset != block) return Damaged("NSQ_INDEX", absl::StrCat(path, ": bytes are left after the last tensor"));
  const std::string manifest = JoinPath(directory, kManifestFile);
  if (PathExists(manifest)) {
    NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(manifest));
    NS_ASSIGN_OR_RETURN(Json parsed, ParseJson(content, manifest));
    if (JsonString(parsed, "schema") == kManifestSchema) open.manifest = std::move(parsed);
  }
  return open;
}

absl::Status Verify(const OpenNsq& artifact, int threads, const std::function<void(uint64_t, uint64_t)>& progress) {
  std::atomic<uint64_t> done{0};
  std::mutex mutex;
  // Tensors before the digest: their checksums say where the damage is.
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), artifact.tensors.size(), [&](uint64_t t) -> absl::Status {
    NS_RETURN_IF_ERROR(VerifyTensor(artifact, artifact.tensors[t]));
    const uint64_t so_far = done.fetch_add(artifact.tensors[t].bytes) + artifact.tensors[t].bytes;
    std::lock_guard<std::mutex> lock(mutex);
    progress(so_far, artifact.file->bytes().size());
    return absl::OkStatus();
  }));
  return CheckDigest(artifact);
}

}  // namespace nashswarm::artifact
