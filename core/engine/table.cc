#include "core/engine/table.h"

#include "base/commandline/table.h"
#include "base/commandline/wrap.h"

namespace nashswarm::engine {

std::string Paragraph(const std::string& text) { return commandline::Wrap(text, commandline::kWidth) + "\n"; }

Table::Table(std::vector<std::string> header) {
  for (std::string& cell : header) {
    right_.push_back(!cell.empty() && cell[0] == '>');
    if (right_.back()) cell.erase(0, 1);
  }
  rows_.push_back(std::move(header));
}

std::string Table::ToString() const {
  std::vector<commandline::Column> columns;
  for (size_t c = 0; c < right_.size(); ++c) columns.push_back({rows_[0][c], right_[c]});
  return commandline::RenderTable(columns, {rows_.begin() + 1, rows_.end()}, /*bold_titles=*/false, commandline::kWidth);
}

}  // namespace nashswarm::engine
