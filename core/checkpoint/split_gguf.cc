#include "core/checkpoint/split_gguf.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/base/some_of.h"
#include "core/base/status.h"

namespace nashswarm::checkpoint {
namespace {

constexpr char kEnding[] = ".gguf";
constexpr uint64_t kMostParts = 65535;  // what split.count can say

// Which part of how many.
struct Place {
  uint64_t number = 1, count = 1;
};

// "NAME-00002-of-00003.gguf"; NAME with the directory.
struct PartName {
  std::string stem;
  Place place;
};

std::optional<PartName> NameOfPart(const std::string& path) {
  // The splitter writes both numbers with five digits.
  constexpr size_t kTail = sizeof("-00001-of-00002.gguf") - 1;
  if (path.size() <= kTail || !absl::EndsWith(path, kEnding)) return std::nullopt;
  const std::string tail = path.substr(path.size() - kTail);
  PartName name{path.substr(0, path.size() - kTail), {}};
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !absl::SimpleAtoi(tail.substr(1, 5), &name.place.number) ||
      !absl::SimpleAtoi(tail.substr(10, 5), &name.place.count)) {
    return std::nullopt;
  }
  if (name.place.number < 1 || name.place.number > name.place.count) return std::nullopt;
  return name;
}

std::string PathOf(const PartName& name, uint64_t number) {
  return absl::StrFormat("%s-%05d-of-%05d%s", name.stem, number, name.place.count, kEnding);
}

std::optional<uint64_t> WholeOf(const GgufFile& gguf, std::string_view key) {
  const GgufValue* value = gguf.Find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<uint64_t>(&value->data)) return *number;
  const auto* number = std::get_if<int64_t>(&value->data);
  return number != nullptr && *number >= 0 ? std::optional<uint64_t>(*number) : std::nullopt;
}

// What the file says of itself; else what its name says.
Place PlaceOf(const GgufFile& gguf, const std::optional<PartName>& name) {
  const std::optional<uint64_t> number = WholeOf(gguf, "split.no"), count = WholeOf(gguf, "split.count");
  if (!count.has_value()) return name.has_value() ? name->place : Place{};
  return {std::min(number.value_or(0), kMostParts) + 1, std::min(*count, kMostParts)};
}

std::string Said(const std::string& path, const Place& place) {
  return absl::StrCat(path, ": is part ", place.number, " of ", place.count, " of a split GGUF model");
}

absl::Status CheckPresent(const std::string& path, const PartName& name) {
  std::vector<std::string> missing;
  for (uint64_t number = 1; number <= name.place.count; ++number) {
    if (!PathExists(PathOf(name, number))) missing.push_back(BaseName(PathOf(name, number)));
  }
  if (missing.empty()) return absl::OkStatus();
  constexpr size_t kShown = 5;
  return MakeError(absl::StatusCode::kDataLoss, "GGUF_PART_MISSING",
                   absl::StrCat(Said(path, name.place), "; missing beside it: ", SomeOf(missing, kShown)),
                   absl::StrCat("download the missing parts into the same directory; to make one file of them: llama-gguf-split --merge ",
                                PathOf(name, 1), " OUT.gguf"));
}

absl::Status Foreign(const std::string& path, const std::string& why) {
  return MakeError(absl::StatusCode::kDataLoss, "GGUF_INVALID", absl::StrCat(path, ": ", why),
                   "the parts are of different downloads: fetch them together");
}

// Adds the tensors of a part whose data lie `shift` bytes from the first part's.
absl::Status Append(const std::string& path, GgufFile part, uint64_t shift, std::unordered_set<std::string>* names, GgufFile* whole) {
  for (GgufTensor& tensor : part.tensors) {
    if (!names->insert(tensor.name).second) return Foreign(path, absl::StrCat("tensor '", tensor.name, "' is in another part too"));
    tensor.offset += shift;
    whole->tensors.push_back(std::move(tensor));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufParts> OpenAll(const PartName& name) {
  GgufParts out;
  for (uint64_t number = 1; number <= name.place.count; ++number) out.paths.push_back(PathOf(name, number));
  std::vector<absl::Span<const uint8_t>> bytes;
  NS_ASSIGN_OR_RETURN(out.file, MappedFile::OpenTogether(out.paths, &bytes));
  std::unordered_set<std::string> names;
  for (size_t p = 0; p < bytes.size(); ++p) {
    out.bytes += bytes[p].size();
    NS_ASSIGN_OR_RETURN(GgufFile part, ParseGguf(bytes[p], out.paths[p]));
    const Place place = PlaceOf(part, NameOfPart(out.paths[p]));
    if (place.number != p + 1 || place.count != name.place.count) {
      return Foreign(out.paths[p], absl::StrCat("is part ", place.number, " of ", place.count, " by its metadata, which its name does not say"));
    }
    if (p == 0) {
      out.gguf = part;
      out.gguf.tensors.clear();
    }
    const uint64_t begin = static_cast<uint64_t>(bytes[p].data() - out.file->bytes().data()) + part.data_begin;
    NS_RETURN_IF_ERROR(Append(out.paths[p], std::move(part), begin - out.gguf.data_begin, &names, &out.gguf));
  }
  const uint64_t count = WholeOf(out.gguf, "split.tensors.count").value_or(out.gguf.tensors.size());
  if (count == out.gguf.tensors.size()) return out;
  return Foreign(out.paths[0], absl::StrCat("the parts have ", out.gguf.tensors.size(), " tensors together, and should have ", count));
}

}  // namespace

absl::StatusOr<GgufParts> OpenGgufParts(const std::string& path) {
  NS_ASSIGN_OR_RETURN(auto file, MappedFile::Open(path));
  NS_ASSIGN_OR_RETURN(GgufFile gguf, ParseGguf(file->bytes(), path));
  const std::optional<PartName> name = NameOfPart(path);
  const Place place = PlaceOf(gguf, name);
  if (place.count <= 1) return GgufParts{{path}, file, std::move(gguf), file->bytes().size()};
  if (!name.has_value() || name->place.number != place.number || name->place.count != place.count) {
    return MakeError(absl::StatusCode::kDataLoss, "GGUF_PART_MISSING",
                     absl::StrCat(Said(path, place), ", and the other parts are found by its name, which does not say so"),
                     absl::StrFormat("name it NAME-%05d-of-%05d.gguf, as it was, beside the others", place.number, place.count));
  }
  NS_RETURN_IF_ERROR(CheckPresent(path, *name));
  return OpenAll(*name);
}

}  // namespace nashswarm::checkpoint
