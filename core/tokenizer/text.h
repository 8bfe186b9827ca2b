// UTF-8, and the alphabet in which byte-level BPE writes bytes.
#ifndef NASHSWARM_CORE_TOKENIZER_TEXT_H_
#define NASHSWARM_CORE_TOKENIZER_TEXT_H_

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace nashswarm::tokenizer {

// Owns texts that pieces of one Encode call point into; their addresses stay while it lives.
class TextArena {
 public:
  std::string_view Keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  std::deque<std::string> texts_;
};

// U+2581, which SentencePiece and its descendants write for a space.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

// Length of the longest valid prefix.
size_t ValidUtf8Prefix(std::string_view text);

// U+FFFD in place of every maximal subpart of an ill-formed sequence (The Unicode Standard, section 3.9, "U+FFFD
// Substitution of Maximal Subparts"), as decoders of the web and of Python do.
std::string ReplaceInvalidUtf8(std::string_view text);

// The rest needs valid UTF-8.

// The character at `*position`, which moves behind it. `*position` is inside the text.
uint32_t NextChar(std::string_view text, size_t* position);
// The character that ends at the end of a text that is not empty.
uint32_t LastChar(std::string_view text);
size_t LastCharLength(std::string_view text);
void AppendChar(uint32_t character, std::string* out);
// Bytes of the character whose first byte is `lead`.
inline size_t CharLength(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

// "abc" for "a b c": every occurrence of `from`, which is not empty, becomes `to`.
std::string ReplaceEvery(std::string_view text, std::string_view from, std::string_view to);

// GPT-2's bytes_to_unicode: printable Latin-1 bytes are themselves, the other 68 are U+0100 and up, in order.
const std::array<std::string, 256>& ByteAlphabet();
std::string ToByteAlphabet(std::string_view bytes);
// Nothing when a character is not of the alphabet.
std::optional<std::string> FromByteAlphabet(std::string_view text);

// "<0x0A>" is 10. -1: not a token for a byte.
int ByteOfToken(std::string_view token);
std::string TokenOfByte(uint8_t byte);

// The property White_Space.
bool IsWhiteSpace(uint32_t character);
// What Unicode regular expressions call \w: letters, marks, decimal digits, connectors, joiners (UTS #18, annex C).
bool IsWordCharacter(uint32_t character);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_TEXT_H_
