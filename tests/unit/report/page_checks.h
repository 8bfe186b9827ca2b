// What every page must be, whatever report it is of.
#ifndef NASHSWARM_TESTS_UNIT_REPORT_PAGE_CHECKS_H_
#define NASHSWARM_TESTS_UNIT_REPORT_PAGE_CHECKS_H_

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace nashswarm::report {

// The page without its style sheet, and without the labels that cells of tables have for narrow screens.
std::string BodyOf(const std::string& html);
// The part of the page that Section() made with this id; "" when there is none.
std::string SectionOf(const std::string& html, const std::string& id);
// The drawing of this id, "bits-wide" or "bits-narrow"; "" when there is none.
std::string DrawingOf(const std::string& html, const std::string& id);
size_t Times(const std::string& text, std::string_view what);
// A matcher would print the whole page.
testing::AssertionResult Has(const std::string& text, const std::string& what);
// Every tag closed by its own kind, every attribute quoted: "" or what is wrong.
std::string Unbalanced(const std::string& html);
// Nothing on the page is fetched or runs.
testing::AssertionResult IsSelfContained(const std::string& html);
// No "nan" or "inf" stands for a number.
testing::AssertionResult HasNumbersOnly(const std::string& html);

}  // namespace nashswarm::report

#endif  // NASHSWARM_TESTS_UNIT_REPORT_PAGE_CHECKS_H_
