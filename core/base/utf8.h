// Text from outside made safe to show: tensor names, warnings and paths are whatever a checkpoint's author wrote.
#ifndef NASHSWARM_CORE_BASE_UTF8_H_
#define NASHSWARM_CORE_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nashswarm {

// `text` as valid UTF-8: every byte that is part of no well-formed sequence becomes U+FFFD.
std::string ValidUtf8(std::string_view text);

// ValidUtf8, and U+FFFD also for what a page must not carry: control characters except tab and newline, characters XML
// forbids, and those that turn the direction of the text around them.
std::string PrintableUtf8(std::string_view text);

// The first code point of `text` that changes how it reads without being seen: a control character, a line or paragraph separator,
// one that turns the direction of what follows, and the rest that Unicode lets be ignored (DerivedCoreProperties,
// Default_Ignorable_Code_Point), such as zero-width spaces. nullopt: there is none. Bytes that are not UTF-8 are passed over.
std::optional<uint32_t> FindInvisible(std::string_view text);

// ValidUtf8, and U+FFFD for each of those: for messages about a name that has them.
std::string VisibleUtf8(std::string_view text);

// How many code points a valid UTF-8 text has: an upper bound of the glyphs a label takes.
size_t CodePoints(std::string_view text);

// The first `count` code points, with "…" in place of what was cut.
std::string Shortened(std::string_view text, size_t count);

// The longest beginning of whole code points in `bytes` bytes.
std::string_view Beginning(std::string_view text, size_t bytes);

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_UTF8_H_
