// Plain text tables: columns padded to their widest cell.
#ifndef NASHSWARM_CORE_ENGINE_TABLE_H_
#define NASHSWARM_CORE_ENGINE_TABLE_H_

#include <string>
#include <vector>

namespace nashswarm::engine {

// A sentence in as many lines as it takes, with a line end.
std::string Paragraph(const std::string& text);

class Table {
 public:
  // A header that starts with '>' is right-aligned.
  explicit Table(std::vector<std::string> header);
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<bool> right_;
};

}  // namespace nashswarm::engine

#endif  // NASHSWARM_CORE_ENGINE_TABLE_H_
