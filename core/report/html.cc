#include "core/report/html.h"

#include <cmath>

#include "core/report/numbers.h"
#include "core/base/utf8.h"

namespace nashswarm::report {

std::string Escape(std::string_view text) {
  std::string out;
  for (const char c : PrintableUtf8(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string Element(std::string_view name, std::string_view classes, std::string_view content) {
  const std::string attribute = classes.empty() ? "" : Cat(" class=\"", classes, "\"");
  return Cat("<", name, attribute, ">", content, "</", name, ">");
}

std::string BytesHtml(uint64_t bytes) {
  return Cat("<span title=\"", ExactBytes(bytes), "\">", Bytes(bytes), "</span>");
}

std::string RoundBytes(double bytes) {
  if (!(bytes >= 0) || bytes > 1e18) return kNothing;
  return BytesHtml(static_cast<uint64_t>(std::llround(bytes)));
}

std::string Absent(std::string_view reason) {
  const std::string why = Escape(reason);
  return Cat("<span class=\"none\" title=\"", why, "\"><span aria-hidden=\"true\">", kNothing, "</span><span class=\"unseen\">", why,
             "</span></span>");
}

std::string NotMeasured() { return Absent("not measured"); }

std::string Section(std::string_view id, std::string_view heading, std::string_view body) {
  return Cat("<section id=\"", id, "\" aria-labelledby=\"", id, "-h\">\n<h2 id=\"", id,
                      "-h\">", heading, "</h2>\n", body, "</section>\n");
}

std::string Figure(std::string_view drawing, std::string_view legend, std::string_view caption) {
  return Cat("<figure>\n", legend, drawing,
                      caption.empty() ? "" : Cat("<figcaption>", caption, "</figcaption>\n"), "</figure>\n");
}

Table::Table(std::string_view caption, std::vector<Column> columns) : caption_(caption), columns_(std::move(columns)) {}

std::string Table::RowHtml(const std::vector<std::string>& cells, std::string_view row_class) const {
  std::string out = row_class.empty() ? "<tr>" : Cat("<tr class=\"", row_class, "\">");
  for (size_t i = 0; i < cells.size() && i < columns_.size(); ++i) {
    const bool number = columns_[i].align == Align::kNumber;
    const std::string label = Cat(" data-l=\"", Escape(columns_[i].heading), "\"");  // where rows stand as cards
    if (i == 0) out += Cat("<th scope=\"row\"", label, ">", cells[i], "</th>");
    else out += Cat(number ? "<td class=\"n\"" : "<td", label, ">", cells[i], "</td>");
  }
  return out + "</tr>\n";
}

void Table::Add(std::vector<std::string> cells, bool emphasised) { body_ += RowHtml(cells, emphasised ? "ours" : ""); }

void Table::AddTotal(std::vector<std::string> cells) { foot_ += RowHtml(cells, ""); }

std::string Table::ToHtml() const {
  std::string head;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const bool number = i > 0 && columns_[i].align == Align::kNumber;
    head += Cat(number ? "<th scope=\"col\" class=\"n\">" : "<th scope=\"col\">", Escape(columns_[i].heading), "</th>");
  }
  const std::string name = Escape(caption_);
  // A box that scrolls must be reachable by keyboard: tabindex, and a name for what is reached.
  return Cat("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"", name, "\">\n<table>\n<caption class=\"unseen\">",
                      name, "</caption>\n<thead><tr>", head, "</tr></thead>\n<tbody>\n", body_, "</tbody>\n",
                      foot_.empty() ? "" : Cat("<tfoot>\n", foot_, "</tfoot>\n"), "</table>\n</div>\n");
}

}  // namespace nashswarm::report
