#include "base/commandline/table.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sstream>

#include "base/commandline/wrap.h"

namespace nashswarm::commandline {
namespace {

using Row = std::vector<std::string>;
using Lines = std::vector<std::string>;

constexpr size_t kGap = 2;
// A column of text is not made narrower than this.
constexpr size_t kLeastWidth = 12;

Lines Words(const std::string& text) {
  Lines words;
  std::istringstream in(text);
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// Bytes of a word that fit into `width`: behind the last mark that parts it, else as many as there is room for.
size_t BreakAt(const std::string& word, size_t width) {
  size_t end = 0, columns = 0, good = 0;
  while (end < word.size() && (columns < width || ContinuesCharacter(word[end]))) {
    columns += ContinuesCharacter(word[end]) ? 0 : 1;
    ++end;
    if (std::strchr("./-_", word[end - 1]) != nullptr) good = end;
  }
  return good > 0 ? good : end;
}

// A cell that fits stays as it is, with the spaces it begins with.
Lines WrapCell(const std::string& cell, size_t width, bool break_words) {
  if (Columns(cell) <= width) return {cell};
  Lines lines = {cell.substr(0, std::min(cell.find_first_not_of(' '), cell.size()))};
  const std::string indent = lines.front();
  bool empty = true;
  for (std::string word : Words(cell)) {
    if (!empty && Columns(lines.back()) + 1 + Columns(word) > width) {
      lines.push_back(indent);
      empty = true;
    }
    while (break_words && empty && Columns(lines.back()) + Columns(word) > width) {
      const size_t at = BreakAt(word, width - std::min(width - 1, Columns(lines.back())));
      lines.back() += word.substr(0, at);
      lines.push_back(indent);
      word.erase(0, at);
    }
    lines.back() += (empty ? "" : " ") + word;
    empty = false;
  }
  return lines;
}

size_t LongestWord(const std::string& text) {
  size_t longest = 0;
  for (const std::string& word : Words(text)) longest = std::max(longest, Columns(word));
  return longest;
}

class Layout {
 public:
  Layout(const std::vector<Column>& columns, const std::vector<Row>& rows) : columns_(columns) {
    for (size_t c = 0; c < columns.size(); ++c) {
      size_t cells = 0;
      for (const Row& row : rows) cells = std::max(cells, Columns(row[c]));
      cells_.push_back(cells);
      widths_.push_back(std::max(cells, Columns(columns[c].title)));
    }
  }

  void FitInto(size_t width) {
    if (Total() <= width) return;
    for (size_t c = 0; c < columns_.size(); ++c) widths_[c] = std::max(cells_[c], LongestWord(columns_[c].title));
    while (Total() > width) {
      const size_t widest = WidestText();
      if (widest == columns_.size()) return;
      widths_[widest] -= std::min(Total() - width, widths_[widest] - kLeastWidth);
    }
  }

  std::string Render(const Row& cells) const {
    std::vector<Lines> wrapped;
    size_t height = 1;
    for (size_t c = 0; c < cells.size(); ++c) {
      wrapped.push_back(WrapCell(cells[c], widths_[c], c + 1 < cells.size()));
      height = std::max(height, wrapped.back().size());
    }
    std::string text;
    for (size_t l = 0; l < height; ++l) {
      std::string line;
      for (size_t c = 0; c < cells.size(); ++c) {
        const std::string part = l < wrapped[c].size() ? wrapped[c][l] : "";
        const std::string spaces(widths_[c] - std::min(widths_[c], Columns(part)), ' ');
        line += (c == 0 ? "" : std::string(kGap, ' ')) + (columns_[c].right ? spaces + part : part + spaces);
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + "\n";
    }
    return text;
  }

 private:
  size_t Total() const {
    return std::accumulate(widths_.begin(), widths_.end(), size_t{0}) + kGap * (widths_.empty() ? 0 : widths_.size() - 1);
  }
  // columns_.size() when there is none to make narrower.
  size_t WidestText() const {
    size_t widest = columns_.size();
    for (size_t c = 0; c < columns_.size(); ++c) {
      const bool may = !columns_[c].right && !columns_[c].whole && widths_[c] > kLeastWidth;
      if (may && (widest == columns_.size() || widths_[c] > widths_[widest])) widest = c;
    }
    return widest;
  }

  const std::vector<Column>& columns_;
  std::vector<size_t> cells_, widths_;
};

}  // namespace

std::string RenderTable(const std::vector<Column>& columns, const std::vector<Row>& rows, bool bold_titles, size_t width) {
  Layout layout(columns, rows);
  layout.FitInto(width);
  std::string text;
  if (std::any_of(columns.begin(), columns.end(), [](const Column& c) { return !c.title.empty(); })) {
    Row titles;
    for (const Column& column : columns) titles.push_back(column.title);
    std::string lines = layout.Render(titles);
    lines.pop_back();
    text += (bold_titles ? "\x1b[1m" + lines + "\x1b[0m" : lines) + "\n";
  }
  for (const Row& row : rows) text += layout.Render(row);
  return text;
}

}  // namespace nashswarm::commandline
