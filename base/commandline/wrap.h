// Text that keeps to the width of a terminal: UTF-8, of characters one column wide.
#ifndef NASHSWARM_BASE_COMMANDLINE_WRAP_H_
#define NASHSWARM_BASE_COMMANDLINE_WRAP_H_

#include <cstddef>
#include <string>

namespace nashswarm::commandline {

inline constexpr size_t kWidth = 80;

// Whether a byte goes on with a character that one before it began.
inline bool ContinuesCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Columns of one line: characters, which are one or more bytes.
size_t Columns(const std::string& line);
// The widest line of a text.
size_t WidestLine(const std::string& text);

// `text` with line ends in place of spaces, so that no line has more than `width` columns but where one word has. The first line
// stands behind `first_indent` columns of something else; those after it begin with `indent` spaces.
std::string Wrap(const std::string& text, size_t width, size_t first_indent = 0, size_t indent = 0);

// At most `columns`: its beginning and its end, "…" between them. Names of tensors differ at both ends.
std::string Shorten(const std::string& text, size_t columns);

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_WRAP_H_
