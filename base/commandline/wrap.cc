#include "base/commandline/wrap.h"

#include <algorithm>
#include <sstream>
#include <vector>

namespace nashswarm::commandline {
namespace {

// Where each character begins.
std::vector<size_t> Characters(const std::string& text) {
  std::vector<size_t> begins;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!ContinuesCharacter(text[i])) begins.push_back(i);
  }
  return begins;
}

}  // namespace

size_t Columns(const std::string& line) {
  return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char c) { return !ContinuesCharacter(c); }));
}

size_t WidestLine(const std::string& text) {
  size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, Columns(line));
  return widest;
}

std::string Wrap(const std::string& text, size_t width, size_t first_indent, size_t indent) {
  std::string out;
  size_t used = first_indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t columns = Columns(word);
    if (!out.empty() && used + 1 + columns > width) {
      out += "\n" + std::string(indent, ' ');
      used = indent;
    } else if (!out.empty()) {
      out += ' ';
      ++used;
    }
    out += word;
    used += columns;
  }
  return out;
}

std::string Shorten(const std::string& text, size_t columns) {
  const std::vector<size_t> begins = Characters(text);
  if (begins.size() <= columns) return text;
  if (columns < 3) return text.substr(0, columns < begins.size() ? begins[columns] : text.size());
  const size_t front = (columns - 1) / 2, back = columns - 1 - front;
  return text.substr(0, begins[front]) + "…" + text.substr(begins[begins.size() - back]);
}

}  // namespace nashswarm::commandline
