#include "client/cli/output.h"

#include <algorithm>
#include <utility>

namespace nashswarm::cli {
namespace {

constexpr const char* kGap = "  ";

// Columns on a terminal: bytes that do not continue a UTF-8 character.
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xc0) != 0x80; }));
}

std::string Pad(const std::string& text, size_t width, Table::Align align) {
  const std::string spaces(width - std::min(width, Width(text)), ' ');
  return align == Table::Align::kRight ? spaces + text : text + spaces;
}

std::string TrimRight(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) {
    std::replace_if(
        cell.begin(), cell.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Render(bool color) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = Width(columns_[i].title);
    for (const auto& row : rows_) width = std::max(width, Width(row[i]));
    widths.push_back(width);
  }
  std::string text;
  const bool titled = std::any_of(columns_.begin(), columns_.end(), [](const Column& c) { return !c.title.empty(); });
  if (titled) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      line += (i == 0 ? "" : kGap) + Pad(columns_[i].title, widths[i], columns_[i].align);
    }
    line = TrimRight(line);
    text += (color ? "\x1b[1m" + line + "\x1b[0m" : line) + "\n";
  }
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += (i == 0 ? "" : kGap) + Pad(row[i], widths[i], columns_[i].align);
    text += TrimRight(line) + "\n";
  }
  return text;
}

std::string ToText(const nlohmann::json& value) {
  return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace nashswarm::cli
