// Tables for people that fit a terminal of 80 columns, whatever is in them.
#ifndef NASHSWARM_BASE_COMMANDLINE_TABLE_H_
#define NASHSWARM_BASE_COMMANDLINE_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace nashswarm::commandline {

struct Column {
  std::string title;  // "" in every column: no line of titles
  bool right = false;  // aligned: numbers
  bool whole = false;  // never broken: names that people copy
};

// Columns padded to their widest cell, with a line end behind every row. Where that is more than `width`, titles and then the widest
// columns of text go on in further lines, broken at spaces, else behind dots, slashes, dashes and underscores. A word in the last column is never broken:
// it may be a path that somebody copies. Cells are UTF-8 of characters one column wide.
std::string RenderTable(const std::vector<Column>& columns, const std::vector<std::vector<std::string>>& rows, bool bold_titles,
                        size_t width);

}  // namespace nashswarm::commandline

#endif  // NASHSWARM_BASE_COMMANDLINE_TABLE_H_
