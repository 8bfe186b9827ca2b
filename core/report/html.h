// Pieces of a page. The markup is HTML that is also well-formed XML (every tag closed, every attribute quoted), so that a
// strict parser can check it.
#ifndef NASHSWARM_CORE_REPORT_HTML_H_
#define NASHSWARM_CORE_REPORT_HTML_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nashswarm::report {

// The pieces in a row.
template <typename... Pieces>
std::string Cat(const Pieces&... pieces) {
  std::string out;
  (out.append(std::string_view(pieces)), ...);
  return out;
}

// Text from anywhere, made safe inside an element or a quoted attribute.
std::string Escape(std::string_view text);

// <name class="...">content</name>; `content` is markup, `classes` a literal of ours.
std::string Element(std::string_view name, std::string_view classes, std::string_view content);

// "54.4 MB" with the exact bytes as a tooltip.
std::string BytesHtml(uint64_t bytes);
// Of a mean: "3.21 MB", to the next byte; "–" when it is no number of bytes.
std::string RoundBytes(double bytes);
// An en dash that says why there is no number to a pointer and to a screen reader; `reason` is plain text.
std::string Absent(std::string_view reason);
std::string NotMeasured();

// <section> with a heading; `id` is a literal of ours.
std::string Section(std::string_view id, std::string_view heading, std::string_view body);

// A drawing with what explains it: `legend` and `caption` may be empty.
std::string Figure(std::string_view drawing, std::string_view legend, std::string_view caption);

// A table; where the page is narrow each row is a card with a line for every cell. The first cell of a row is its heading.
class Table {
 public:
  enum class Align { kText, kNumber };
  struct Column {
    std::string_view heading;  // plain text
    Align align = Align::kNumber;
  };

  // `caption` names the table for those who cannot see it.
  Table(std::string_view caption, std::vector<Column> columns);
  // Cells are markup, one a column.
  void Add(std::vector<std::string> cells, bool emphasised = false);
  void AddTotal(std::vector<std::string> cells);
  std::string ToHtml() const;

 private:
  std::string RowHtml(const std::vector<std::string>& cells, std::string_view row_class) const;

  std::string caption_;
  std::vector<Column> columns_;
  std::string body_, foot_;
};

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_HTML_H_
