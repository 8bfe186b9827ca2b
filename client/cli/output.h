// What goes to stdout: tables for people, JSON for programs.
#ifndef NASHSWARM_CLIENT_CLI_OUTPUT_H_
#define NASHSWARM_CLIENT_CLI_OUTPUT_H_

#include <iosfwd>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace nashswarm::cli {

// Columns padded to their widest cell, in 80 columns (base/commandline/table.h). Cells are plain text; control characters are
// replaced.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    bool whole = false;  // never broken: names that people copy
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  void AddRow(std::vector<std::string> cells);
  // With a line of titles, unless every title is empty. Ends with a line end.
  std::string Render(bool color) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Bytes that are not UTF-8 become U+FFFD instead of an exception.
std::string ToText(const nlohmann::json& value);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_OUTPUT_H_
