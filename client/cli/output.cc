#include "client/cli/output.h"

#include <algorithm>
#include <utility>

#include "base/commandline/table.h"
#include "base/commandline/wrap.h"

namespace nashswarm::cli {
void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) {
    std::replace_if(
        cell.begin(), cell.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  }
  rows_.push_back(std::move(cells));
}

std::string Table::Render(bool color) const {
  std::vector<commandline::Column> columns;
  for (const Column& column : columns_) columns.push_back({column.title, column.align == Align::kRight, column.whole});
  return commandline::RenderTable(columns, rows_, color, commandline::kWidth);
}

std::string ToText(const nlohmann::json& value) {
  return value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace nashswarm::cli
