#include "core/artifact/nsq_artifact.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <random>
#include <unordered_set>

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
constexpr uint64_t kMaxIndexBytes = 32u << 20;  // unpacked: a quarter of a million tensors
constexpr size_t kMaxNameBytes = 1024;
constexpr uint64_t kMaxWeights = uint64_t{1} << 40, kMaxMatrixSide = uint64_t{1} << 24;
// Zeros alone take next to nothing: 134 bytes for a tile, which of a matrix of 2^17 columns has 2^23 weights. More than that is a
// file that promises weights it does not have.
constexpr uint64_t kMaxWeightsPerByte = 1u << 16;
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

// The index as it is stored: JSON, deflated. Names and shapes repeat, so that a tensor takes about twenty bytes.
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
  const absl::Status damaged = Damaged("NSQ_INDEX", absl::StrCat(what, ": its index does not unpack"));
  if (packed.size() > kMaxIndexBytes) return damaged;
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
  // JSON ends at a NUL for the parser: what is behind one would be there for other readers only.
  const bool whole = result == Z_STREAM_END && stream.avail_in == 0 && text.find('\0') == std::string::npos;
  inflateEnd(&stream);
  if (!whole) return damaged;
  return text;
}

// Names are keys of a safetensors header, and nothing that a careless reader could take for a path.
bool IsTensorName(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes || name == "__metadata__") return false;
  return std::none_of(name.begin(), name.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f || c == '/' || c == '\\';
  });
}

absl::StatusOr<NsqTensor> ParseTensor(const Json& entry, const std::string& what) {
  const auto bad = [&](const char* problem) {
    return Damaged("NSQ_INDEX", absl::StrCat(what, ": index: tensor '", JsonString(entry, "name"), "': ", problem));
  };
  if (!entry.is_object()) return Damaged("NSQ_INDEX", absl::StrCat(what, ": index: an entry is no object"));
  NsqTensor tensor;
  tensor.name = JsonString(entry, "name");
  if (!IsTensorName(tensor.name)) return bad("it has no name that a tensor can have");
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
  if (!weights || *weights > kMaxWeights) return bad("an impossible shape");
  const int64_t bytes = JsonInt(entry, "bytes", -1);
  if (bytes < 0) return bad("it has no length");
  tensor.bytes = static_cast<uint64_t>(bytes);
  const std::string coding = JsonString(entry, "coding");
  if (coding == kStream || coding == kTransposed) {
    tensor.coding = coding == kStream ? NsqTensor::Coding::kStream : NsqTensor::Coding::kTransposedStream;
    const bool fits = tensor.shape.size() == 2 && *weights > 0 && std::max(tensor.shape[0], tensor.shape[1]) <= kMaxMatrixSide;
    if (!fits) return bad("it is no matrix");
    if (*weights / kMaxWeightsPerByte > tensor.bytes) return bad("it is too short for its shape");
    return tensor;
  }
  const auto plain = checkpoint::DTypeByName(coding);
  if (!plain || !checkpoint::IsWeight(*plain)) return bad("unknown coding");
  tensor.plain_dtype = *plain;
  const int64_t crc = JsonInt(entry, "crc32", -1);
  if (crc < 0 || crc > UINT32_MAX) return bad("it has no checksum");
  tensor.crc = static_cast<uint32_t>(crc);
  if (CheckedMul(*weights, checkpoint::BytesOf(*plain)) != tensor.bytes) return bad("its length is not its shape's");
  return tensor;
}

std::string Header(uint64_t index_bytes, uint64_t block_bytes) {
  const checkpoint::TensorShape shapes[] = {{kIndex, DType::kU8, {index_bytes}}, {kBlock, DType::kU8, {block_bytes}}};
  return checkpoint::SerializeSafetensorsHeader(shapes, kMetadata);
}

// Where the index and the block lie.
struct Parts {
  checkpoint::TensorEntry index, block;
};

absl::StatusOr<Parts> ParseHeader(absl::Span<const uint8_t> file, const std::string& what) {
  NS_ASSIGN_OR_RETURN(checkpoint::SafetensorsHeader header, checkpoint::ParseSafetensors(file, what));
  const auto is = [&](size_t i, const char* name) {
    return header.tensors[i].name == name && header.tensors[i].dtype == DType::kU8 && header.tensors[i].shape.size() == 1;
  };
  const auto& metadata = header.metadata;
  if (const auto format = metadata.find("format"); format != metadata.end() && format->second == "nsq" && metadata != kMetadata) {
    const auto version = metadata.find("nsq_version");
    return MakeError(absl::StatusCode::kDataLoss, "NSQ_INDEX",
                     absl::StrCat(what, ": is of version ", version == metadata.end() ? "?" : version->second, " of the nsq format"),
                     "this program reads version 1; a newer one may read it");
  }
  const bool ours = metadata == kMetadata && header.tensors.size() == 2 && is(0, kIndex) && is(1, kBlock);
  // JSON ends at a NUL for the parser; nobody writes one into the header, but damage does.
  const auto begin = file.begin() + 8;
  const bool text = ours && std::find(begin, file.begin() + static_cast<ptrdiff_t>(header.tensors[0].begin), 0) ==
                                file.begin() + static_cast<ptrdiff_t>(header.tensors[0].begin);
  if (!text) return Damaged("NSQ_INDEX", absl::StrCat(what, ": is not of the nsq format, version 1"));
  return Parts{std::move(header.tensors[0]), std::move(header.tensors[1])};
}

absl::Status CheckDigest(const OpenNsq& artifact) {
  if (!artifact.manifest.has_value() || !artifact.manifest->contains("artifact")) return absl::OkStatus();
  const Json& expected = (*artifact.manifest)["artifact"];
  if (ToHex(Sha256Of(AsText(artifact.file->bytes()))) == JsonString(expected, "sha256")) return absl::OkStatus();
  return Damaged("ARTIFACT_DIGEST", absl::StrCat(artifact.file->path(), ": its SHA-256 is not the manifest's"));
}

absl::Status CheckFinite(const NsqTensor& tensor, absl::Span<const float> values, const std::string& where) {
  for (const float value : values) {
    if (!std::isfinite(value)) return Damaged("ARTIFACT_NON_FINITE", absl::StrCat("tensor '", tensor.name, "'", where, ": decodes to NaN or infinity"));
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
  // How deflate takes a number depends on those around it. Random digits, as many as there can be, compress as badly as digits
  // do; another choice of digits differs by a match here or there, which the rest is for.
  constexpr uint64_t kSparePerTensor = 1, kSpare = 24;
  std::minstd_rand random(1);
  uint64_t block = 0;
  for (NsqTensor& tensor : tensors) {
    if (tensor.coded()) {
      uint64_t digits = 1;
      for (const uint64_t most = 16 * tensor.weights() + (64u << 10); digits <= most;) digits *= 10;
      tensor.bytes = digits / 10 + (random() * uint64_t{random()}) % (9 * digits / 10);
    } else {
      tensor.crc = static_cast<uint32_t>(1000000000u + random() % 3294967295u);
    }
    block += tensor.bytes;
  }
  const uint64_t index = PackIndex(tensors).size() + kSparePerTensor * tensors.size() + kSpare;
  return index + Header(index, block).size();
}

absl::StatusOr<WrittenFile> WriteNsq(const std::string& path, const std::vector<NsqTensor>& tensors,
                                     absl::Span<const Piece> parts, const std::function<void(uint64_t)>& progress) {
  uint64_t block = 0;
  for (const NsqTensor& tensor : tensors) block += tensor.bytes;
  const std::string index = PackIndex(tensors), head = Header(index.size(), block) + index;
  Sha256 hash;
  NS_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  hash.Update(head);
  NS_RETURN_IF_ERROR(file.Append(head));
  NS_RETURN_IF_ERROR(AppendPieces(parts, &file, &hash, progress));
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

absl::StatusOr<NsqContents> ParseNsq(absl::Span<const uint8_t> file, const std::string& what) {
  NS_ASSIGN_OR_RETURN(const Parts parts, ParseHeader(file, what));
  NS_ASSIGN_OR_RETURN(const std::string text, UnpackIndex(file.subspan(parts.index.begin, parts.index.end - parts.index.begin), what));
  const absl::StatusOr<Json> json = ParseJson(text, what);
  if (!json.ok()) return Damaged("NSQ_INDEX", absl::StrCat("index: ", json.status().message()));
  const auto list = json->find("tensors");
  if (list == json->end() || !list->is_array()) return Damaged("NSQ_INDEX", absl::StrCat(what, ": its index lists no tensors"));
  NsqContents contents;
  contents.block_begin = parts.block.begin;
  const uint64_t block = parts.block.end - parts.block.begin;
  uint64_t offset = 0;
  std::unordered_set<std::string> names;
  for (const Json& entry : *list) {
    NS_ASSIGN_OR_RETURN(NsqTensor parsed, ParseTensor(entry, what));
    if (!names.insert(parsed.name).second) {
      return Damaged("NSQ_INDEX", absl::StrCat(what, ": index: tensor '", parsed.name, "' is listed twice"));
    }
    if (parsed.bytes > block - offset) return Damaged("NSQ_INDEX", absl::StrCat(what, ": tensor '", parsed.name, "' ends beyond the file"));
    parsed.offset = offset;
    offset += parsed.bytes;
    contents.tensors.push_back(std::move(parsed));
  }
  if (offset != block) return Damaged("NSQ_INDEX", absl::StrCat(what, ": bytes are left after the last tensor"));
  return contents;
}

absl::StatusOr<OpenNsq> ReadNsq(const std::string& directory) {
  OpenNsq open;
  open.directory = directory;
  const std::string first = JoinPath(directory, kFirstNsqFile), named = JoinPath(directory, kNsqFile);
  const std::string path = PathExists(first) && !PathExists(named) ? first : named;
  NS_ASSIGN_OR_RETURN(open.file, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(NsqContents contents, ParseNsq(open.file->bytes(), path));
  open.tensors = std::move(contents.tensors);
  open.block_begin = contents.block_begin;
  const std::string manifest = JoinPath(directory, kManifestFile);
  if (PathExists(manifest)) {
    NS_ASSIGN_OR_RETURN(const std::string content, ReadFile(manifest));
    NS_ASSIGN_OR_RETURN(Json parsed, ParseJson(content, manifest));
    if (JsonString(parsed, "schema") == kManifestSchema) open.manifest = std::move(parsed);
  }
  return open;
}

absl::Status VerifyTensor(const NsqTensor& tensor, absl::Span<const uint8_t> bytes) {
  if (!tensor.coded()) {
    if (coding::Crc32(bytes) != tensor.crc) return Damaged("NSQ_TENSOR", absl::StrCat("tensor '", tensor.name, "': checksum mismatch"));
    std::vector<float> values(tensor.weights());
    checkpoint::ToFloat(tensor.plain_dtype, bytes.data(), values.size(), values.data());
    return CheckFinite(tensor, values, "");
  }
  NS_ASSIGN_OR_RETURN(const nsq::Stream stream, nsq::Stream::Open(bytes, tensor.rows(), tensor.columns(), tensor.name));
  std::vector<float> values(static_cast<size_t>(stream.grid().tile_rows()) * tensor.columns());
  for (uint32_t tile = 0; tile < stream.grid().tiles(); ++tile) {
    NS_RETURN_IF_ERROR(stream.DecodeTile(tile, coding::Output::kF32, values.data(), tensor.columns()));
    NS_RETURN_IF_ERROR(CheckFinite(tensor, values, absl::StrCat(", tile ", tile)));
  }
  return absl::OkStatus();
}

absl::Status Verify(const OpenNsq& artifact, int threads, const std::function<void(uint64_t, uint64_t)>& progress) {
  std::atomic<uint64_t> done{0};
  std::mutex mutex;
  // Tensors before the digest: their checksums say where the damage is.
  NS_RETURN_IF_ERROR(ParallelFor(ResolveThreads(threads), artifact.tensors.size(), [&](uint64_t t) -> absl::Status {
    NS_RETURN_IF_ERROR(VerifyTensor(artifact.tensors[t], artifact.BytesOf(artifact.tensors[t])));
    const uint64_t so_far = done.fetch_add(artifact.tensors[t].bytes) + artifact.tensors[t].bytes;
    std::lock_guard<std::mutex> lock(mutex);
    progress(so_far, artifact.file->bytes().size());
    return absl::OkStatus();
  }));
  NS_RETURN_IF_ERROR(ExpertOrdersOf(artifact).status());
  return CheckDigest(artifact);
}

}  // namespace nashswarm::artifact
