#include "core/tokenizer/text.h"

#include <utf8proc.h>

#include <cstring>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_format.h"

namespace nashswarm::tokenizer {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

struct Sequence {
  size_t bytes;  // of a character, or of the maximal subpart of one
  bool valid;
};

// Table 3-7 of The Unicode Standard: the range of the second byte depends on the first.
Sequence NextSequence(const uint8_t* p, size_t size) {
  const uint8_t lead = p[0];
  if (lead < 0x80) return {1, true};
  if (lead < 0xc2 || lead > 0xf4) return {1, false};
  const size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xbf;
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (i >= size || p[i] < low || p[i] > high) return {i, false};
    low = 0x80;
    high = 0xbf;
  }
  return {length, true};
}

constexpr bool IsPrintableLatin1(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

const absl::flat_hash_map<uint32_t, uint8_t>& BytesOfAlphabet() {
  static const auto* const kBytes = [] {
    auto* bytes = new absl::flat_hash_map<uint32_t, uint8_t>;
    for (int byte = 0; byte < 256; ++byte) {
      size_t position = 0;
      bytes->emplace(NextChar(ByteAlphabet()[byte], &position), byte);
    }
    return bytes;
  }();
  return *kBytes;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

size_t ValidUtf8Prefix(std::string_view text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  size_t i = 0;
  while (i < text.size()) {
    uint64_t eight;  // most texts are mostly ASCII
    if (i + 8 <= text.size() && (std::memcpy(&eight, bytes + i, 8), (eight & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const Sequence next = NextSequence(bytes + i, text.size() - i);
    if (!next.valid) return i;
    i += next.bytes;
  }
  return i;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t valid = ValidUtf8Prefix(text);
    out.append(text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    out.append(kReplacement);
    text.remove_prefix(NextSequence(reinterpret_cast<const uint8_t*>(text.data()), text.size()).bytes);
  }
  return out;
}

uint32_t NextChar(std::string_view text, size_t* position) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data()) + *position;
  const size_t length = CharLength(static_cast<char>(*p));
  *position += length;
  switch (length) {
    case 1: return p[0];
    case 2: return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    case 3: return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    default: return (p[0] & 0x07u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
  }
}

size_t LastCharLength(std::string_view text) {
  size_t position = text.size() - 1;
  while (position > 0 && (static_cast<uint8_t>(text[position]) & 0xc0) == 0x80) --position;
  return text.size() - position;
}

uint32_t LastChar(std::string_view text) {
  size_t position = text.size() - LastCharLength(text);
  return NextChar(text, &position);
}

void AppendChar(uint32_t character, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xc0 | character >> 6);
    put(0x80 | (character & 0x3f));
  } else if (character < 0x10000) {
    put(0xe0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  } else {
    put(0xf0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3f));
    put(0x80 | (character >> 6 & 0x3f));
    put(0x80 | (character & 0x3f));
  }
}

std::string ReplaceEvery(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  size_t begin = 0;
  for (size_t at = text.find(from); at != std::string_view::npos; at = text.find(from, begin)) {
    out.append(text.substr(begin, at - begin)).append(to);
    begin = at + from.size();
  }
  out.append(text.substr(begin));
  return out;
}

const std::array<std::string, 256>& ByteAlphabet() {
  static const auto* const kAlphabet = [] {
    auto* alphabet = new std::array<std::string, 256>;
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) AppendChar(IsPrintableLatin1(byte) ? byte : next++, &(*alphabet)[byte]);
    return alphabet;
  }();
  return *kAlphabet;
}

std::string ToByteAlphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) out += ByteAlphabet()[static_cast<uint8_t>(c)];
  return out;
}

std::optional<std::string> FromByteAlphabet(std::string_view text) {
  std::string out;
  for (size_t position = 0; position < text.size();) {
    const auto it = BytesOfAlphabet().find(NextChar(text, &position));
    if (it == BytesOfAlphabet().end()) return std::nullopt;
    out.push_back(static_cast<char>(it->second));
  }
  return out;
}

int ByteOfToken(std::string_view token) {
  if (token.size() != 6 || token.substr(0, 3) != "<0x" || token[5] != '>') return -1;
  const int high = HexDigit(token[3]), low = HexDigit(token[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string TokenOfByte(uint8_t byte) { return absl::StrFormat("<0x%02X>", byte); }

bool IsWhiteSpace(uint32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool IsWordCharacter(uint32_t c) {
  // The circled and squared letters: symbols by category, alphabetic by property.
  if ((c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
      (c >= 0x1f170 && c <= 0x1f189) || c == 0x200c || c == 0x200d) {
    return true;
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace nashswarm::tokenizer
