#include "core/base/utf8.h"

#include <cstdint>

namespace nashswarm {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the well-formed sequence at the start of `text` (Unicode standard, table 3-7) and its code point; 0 if none.
size_t Decode(std::string_view text, uint32_t* code) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  if (lead < 0x80) {
    *code = lead;
    return 1;
  }
  const size_t length = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
  if (length == 0 || text.size() < length) return 0;
  *code = lead & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
    *code = *code << 6 | (at(i) & 0x3F);
  }
  const bool overlong = (length == 3 && *code < 0x800) || (length == 4 && *code < 0x10000);
  const bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
  return overlong || surrogate || *code > 0x10FFFF ? 0 : length;
}

bool Printable(uint32_t code) {
  if (code < 0x20) return code == '\t' || code == '\n';
  const bool control = code >= 0x7F && code <= 0x9F;
  const bool not_xml = (code & 0xFFFE) == 0xFFFE;
  const bool bidi = code == 0x200E || code == 0x200F || code == 0x061C || (code >= 0x202A && code <= 0x202E) ||
                    (code >= 0x2066 && code <= 0x2069);
  return !control && !not_xml && !bidi;
}

struct Range {
  uint32_t first, last;
};
constexpr Range kInvisible[] = {
    {0x0000, 0x001F},   {0x007F, 0x009F},   {0x00AD, 0x00AD},   {0x034F, 0x034F},   {0x061C, 0x061C},
    {0x115F, 0x1160},   {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},   {0x2028, 0x202E},
    {0x2060, 0x206F},   {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0},
    {0xFFF0, 0xFFFB},   {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

bool Invisible(uint32_t code) {
  for (const Range& range : kInvisible) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

template <typename Keep>
std::string Filtered(std::string_view text, Keep keep) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    uint32_t code = 0;
    const size_t length = Decode(text, &code);
    out += length > 0 && keep(code) ? text.substr(0, length) : kReplacement;
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

}  // namespace

std::string ValidUtf8(std::string_view text) {
  return Filtered(text, [](uint32_t) { return true; });
}

std::string PrintableUtf8(std::string_view text) { return Filtered(text, Printable); }

std::string VisibleUtf8(std::string_view text) {
  return Filtered(text, [](uint32_t code) { return !Invisible(code); });
}

std::optional<uint32_t> FindInvisible(std::string_view text) {
  while (!text.empty()) {
    uint32_t code = 0;
    const size_t length = Decode(text, &code);
    if (length > 0 && Invisible(code)) return code;
    text.remove_prefix(length > 0 ? length : 1);
  }
  return std::nullopt;
}

size_t CodePoints(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<uint8_t>(c) & 0xC0) != 0x80;
  return count;
}

std::string Shortened(std::string_view text, size_t count) {
  if (CodePoints(text) <= count) return std::string(text);
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    if ((static_cast<uint8_t>(text[end]) & 0xC0) != 0x80 && ++seen > count) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

std::string_view Beginning(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<uint8_t>(text[bytes]) & 0xC0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

}  // namespace nashswarm
