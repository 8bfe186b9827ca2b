#include "tests/unit/report/page_checks.h"

#include <algorithm>
#include <regex>
#include <vector>

namespace nashswarm::report {

std::string BodyOf(const std::string& html) {
  constexpr std::string_view kLabel = " data-l=\"";
  std::string body;
  for (size_t at = html.find("<body>"); at < html.size();) {
    const size_t label = std::min(html.find(kLabel, at), html.size());
    body.append(html, at, label - at);
    at = label == html.size() ? label : html.find('"', label + kLabel.size()) + 1;
  }
  return body;
}

std::string SectionOf(const std::string& html, const std::string& id) {
  const size_t at = html.find("<section id=\"" + id + "\"");
  return at == std::string::npos ? "" : html.substr(at, html.find("</section>", at) - at);
}

std::string DrawingOf(const std::string& html, const std::string& id) {
  const size_t at = html.find("aria-labelledby=\"" + id + "-t ");
  return at == std::string::npos ? "" : html.substr(at, html.find("</svg>", at) - at);
}

size_t Times(const std::string& text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

testing::AssertionResult Has(const std::string& text, const std::string& what) {
  if (text.find(what) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "not on the page: " << what;
}

std::string Unbalanced(const std::string& html) {
  std::vector<std::string> open;
  static const std::regex kTag(R"re(^<(/?)([a-zA-Z0-9]+)((?: [a-zA-Z][a-zA-Z0-9-]*="[^"<]*")*)(/?)>)re");
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    if (html.compare(at, 10, "<!DOCTYPE ") == 0) continue;
    const size_t end = std::min(html.find('>', at) + 1, html.size());
    const std::string text = html.substr(at, end - at);
    // std::regex recurses for every character, and the outline of a map of many cells is a long one.
    const size_t outline = text.find(" d=\"M");
    const size_t past = outline == std::string::npos ? outline : text.find('"', outline + 4);
    const std::string checked = past == std::string::npos ? text : text.substr(0, outline) + text.substr(past + 1);
    std::smatch tag;
    if (!std::regex_match(checked, tag, kTag)) return "no tag: " + text.substr(0, 80);
    if (tag[1] == "/") {
      if (open.empty() || open.back() != tag[2]) return "closes what is not open: " + text;
      open.pop_back();
    } else if (tag[4] != "/") {
      open.push_back(tag[2]);
    }
  }
  return open.empty() ? "" : "left open: " + open.back();
}

testing::AssertionResult IsSelfContained(const std::string& html) {
  for (const char* word : {"<script", "<link", "<img", "<iframe", "@import", "url(", "javascript:"}) {
    if (Times(html, word) > 0) return testing::AssertionFailure() << "on the page: " << word;
  }
  // The XHTML namespace, which nobody fetches, and http-equiv.
  if (Times(html, "http") != 2) return testing::AssertionFailure() << Times(html, "http") << " times http";
  return testing::AssertionSuccess();
}

testing::AssertionResult HasNumbersOnly(const std::string& html) {
  static const std::regex kNotANumber(R"((^|[^a-zA-Z])-?(nan|inf|NaN|Infinity)([^a-zA-Z]|$))");
  std::smatch found;
  if (!std::regex_search(html, found, kNotANumber)) return testing::AssertionSuccess();
  const std::string before = found.prefix();
  return testing::AssertionFailure() << before.substr(before.size() - std::min<size_t>(80, before.size())) << found[0];
}

}  // namespace nashswarm::report
