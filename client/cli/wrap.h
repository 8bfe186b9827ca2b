// Text that keeps to the width of a terminal.
#ifndef NASHSWARM_CLIENT_CLI_WRAP_H_
#define NASHSWARM_CLIENT_CLI_WRAP_H_

#include <cstddef>
#include <string>

namespace nashswarm::cli {

inline constexpr size_t kTerminalColumns = 80;

// Columns of one line: characters, which are one or more bytes of UTF-8.
size_t Columns(const std::string& line);
// The widest line of a text.
size_t WidestLine(const std::string& text);

// Line ends go between words; lines after the first begin with `indent` spaces. A word longer than a line has one to itself.
std::string Wrap(const std::string& text, size_t first_indent, size_t indent, size_t columns = kTerminalColumns);

// At most `columns`: its beginning and its end, "…" between them. Names of tensors differ at both ends.
std::string Shorten(const std::string& text, size_t columns);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_WRAP_H_
