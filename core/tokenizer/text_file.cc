#include "core/tokenizer/text_file.h"

#include <algorithm>
#include <cstring>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/checkpoint/lfs_pointer.h"
#include "core/tokenizer/text.h"

namespace nashswarm::tokenizer {
namespace {

using namespace std::string_view_literals;

// What follows a beginning that a text may have too. bzip2: the size of its blocks in 100 kB, then the mark of a block or of the
// stream's end. GGUF: the version, 32 bits, little-endian.
bool IsBzip2(std::string_view rest) {
  return !rest.empty() && rest[0] >= '1' && rest[0] <= '9' &&
         (rest.substr(1).starts_with("1AY&SY"sv) || rest.substr(1).starts_with("\x17rE8P\x90"sv));
}
bool IsGguf(std::string_view rest) { return rest.size() >= 4 && rest.substr(1, 3) == "\0\0\0"sv; }
bool IsPdf(std::string_view rest) { return rest.size() >= 2 && rest[0] >= '0' && rest[0] <= '9' && rest[1] == '.'; }

// What the beginning of a file says it is. Formats that hold texts, and what lies about where a text was meant.
struct Magic {
  std::string_view bytes;
  std::string_view what, remedy;
  bool (*goes_on)(std::string_view rest) = nullptr;  // of bytes alone that are no proof
};
constexpr std::string_view kExtract = "extract the text first";
constexpr std::string_view kExport = "write the column with the text to a plain file first, in UTF-8";
constexpr std::string_view kGiveText = "give a file of plain text in UTF-8";
constexpr Magic kMagics[] = {
    {checkpoint::kLfsPointerBeginning, "a Git LFS pointer, not the file it stands for", "fetch the file: git lfs pull"},
    {"\x1f\x8b"sv, "compressed with gzip", "decompress it first: gunzip"},
    {"\x28\xb5\x2f\xfd"sv, "compressed with zstd", "decompress it first: unzstd"},
    {"BZh"sv, "compressed with bzip2", "decompress it first: bunzip2", IsBzip2},
    {"\xfd" "7zXZ\0"sv, "compressed with xz", "decompress it first: unxz"},
    {"7z\xbc\xaf\x27\x1c"sv, "a 7z archive", kExtract},
    {"PK\x03\x04"sv, "a ZIP archive (or a .docx, .npz or .pt file)", kExtract},
    {"PAR1\x15"sv, "a Parquet file", kExport},  // a page's or the file's header, in Thrift: field 1, an integer
    {"ARROW1\0\0"sv, "an Arrow file", kExport},
    {"SQLite format 3\0"sv, "an SQLite database", kExport},
    {"\x89HDF"sv, "an HDF5 file", kExport},
    {"%PDF-"sv, "a PDF", "extract its text first: pdftotext", IsPdf},
    {"GGUF"sv, "a GGUF file", kGiveText, IsGguf},
    {"\x89PNG"sv, "a PNG image", kGiveText},
    {"\xff\xd8\xff"sv, "a JPEG image", kGiveText},
    {"GIF87a"sv, "a GIF image", kGiveText},
    {"GIF89a"sv, "a GIF image", kGiveText},
    {"\x93NUMPY"sv, "a NumPy array", kGiveText},
    {"\x7f" "ELF"sv, "a program", kGiveText},
};

absl::Status NotAText(std::string_view name, std::string_view what, std::string_view remedy) {
  return MakeError(absl::StatusCode::kInvalidArgument, "NOT_A_TEXT", absl::StrCat(ToAbsl(name), ": is ", ToAbsl(what)), remedy);
}

absl::Status NotUtf8(std::string_view name, std::string_view encoding, std::string_view from) {
  return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_NOT_UTF8",
                   absl::StrCat(ToAbsl(name), ": the text is ", ToAbsl(encoding), ", and texts are read as UTF-8"),
                   absl::StrCat("convert it: iconv -f ", ToAbsl(from), " -t UTF-8 ", ToAbsl(name), " > text.txt"));
}

// Eight bytes that say how long the JSON after them is.
bool IsSafetensors(std::string_view bytes) {
  uint64_t header = 0;
  if (bytes.size() < sizeof(header) + 2) return false;
  std::memcpy(&header, bytes.data(), sizeof(header));
  return bytes[sizeof(header)] == '{' && header >= 2 && header < bytes.size();
}

// Of the 16-bit encodings without a mark: most texts are mostly ASCII, so every second byte is zero. What stands between is no
// zero then, which tells them from tables of numbers.
const char* Utf16WithoutMark(std::string_view bytes) {
  constexpr size_t kSample = 4096;
  const size_t size = std::min(bytes.size(), kSample) / 2 * 2;
  size_t zeros[2] = {0, 0};
  for (size_t i = 0; i < size; ++i) zeros[i % 2] += bytes[i] == '\0' ? 1 : 0;
  const auto most = [&](size_t count) { return count * 10 >= size / 2 * 7; };
  const auto few = [&](size_t count) { return count * 50 <= size / 2; };
  if (size < 4) return nullptr;
  if (few(zeros[0]) && most(zeros[1])) return "UTF-16LE";
  if (few(zeros[1]) && most(zeros[0])) return "UTF-16BE";
  return nullptr;
}

// More than one byte in a thousand is in no UTF-8 character: not a fault in a text, but another encoding.
bool IsMostlyUtf8(std::string_view text) {
  const size_t allowed = text.size() / 1000 + 4;
  size_t bad = 0;
  while (!text.empty() && bad <= allowed) {
    const size_t valid = ValidUtf8Prefix(text);
    text.remove_prefix(valid);
    if (text.empty()) break;
    ++bad;
    text.remove_prefix(1);
  }
  return bad <= allowed;
}

absl::Status CheckBytes(std::string_view bytes, std::string_view name) {
  for (const Magic& magic : kMagics) {
    if (!bytes.starts_with(magic.bytes)) continue;
    if (magic.goes_on == nullptr || magic.goes_on(bytes.substr(magic.bytes.size()))) return NotAText(name, magic.what, magic.remedy);
  }
  if (IsSafetensors(bytes)) return NotAText(name, "a safetensors file", kGiveText);
  if (bytes.starts_with("\xff\xfe\0\0"sv) || bytes.starts_with("\0\0\xfe\xff"sv)) return NotUtf8(name, "UTF-32", "UTF-32");
  if (bytes.starts_with("\xff\xfe"sv) || bytes.starts_with("\xfe\xff"sv)) return NotUtf8(name, "UTF-16", "UTF-16");
  if (const char* encoding = Utf16WithoutMark(bytes); encoding != nullptr) return NotUtf8(name, encoding, encoding);
  if (bytes.find('\0') != std::string_view::npos) return NotAText(name, "binary: it has zero bytes", kGiveText);
  if (!IsMostlyUtf8(bytes)) return NotUtf8(name, "in another encoding (Latin-1 or Windows-1252, perhaps)", "WINDOWS-1252");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> CheckText(std::string bytes, std::string_view name) {
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.erase(0, 3);
  NS_RETURN_IF_ERROR(CheckBytes(bytes, name));
  if (bytes.find_first_not_of(" \t\r\n") != std::string::npos) return bytes;
  return MakeError(absl::StatusCode::kInvalidArgument, "TEXT_EMPTY", absl::StrCat(ToAbsl(name), ": the text is empty"),
                   "give a text file with some pages of text");
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes) {
  if (IsDirectory(path)) return NotAText(path, "a directory", "give one file of plain text in UTF-8");
  NS_ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, max_bytes));
  return CheckText(std::move(bytes), path);
}

}  // namespace nashswarm::tokenizer
