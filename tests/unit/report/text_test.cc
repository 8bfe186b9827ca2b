// Numbers and text as the page shows them.
#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>
#include <locale>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/base/utf8.h"

namespace nashswarm::report {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// With a plain space in place of the one that does not break.
std::string Plain(std::string text) {
  for (size_t at; (at = text.find(kNoBreak)) != std::string::npos;) text.replace(at, 2, " ");
  return text;
}

TEST(NumbersTest, SizesAreDecimal) {
  EXPECT_EQ(Plain(Bytes(0)), "0 B");
  EXPECT_EQ(Plain(Bytes(999)), "999 B");
  EXPECT_EQ(Plain(Bytes(1000)), "1.00 KB");
  EXPECT_EQ(Plain(Bytes(54430912)), "54.4 MB");
  EXPECT_EQ(Plain(Bytes(497774208)), "498 MB");
  EXPECT_EQ(Plain(Bytes(999999)), "1.00 MB");  // not 1,000 KB
  EXPECT_EQ(Plain(Bytes(1592877465600)), "1.59 TB");
  EXPECT_EQ(Plain(ExactBytes(54430912)), "54,430,912 bytes");
  EXPECT_EQ(Plain(ExactBytes(1)), "1 byte");
}

TEST(NumbersTest, DigitsByHand) {
  EXPECT_EQ(Fixed(2.625, 2), "2.63");
  EXPECT_EQ(Fixed(1234567.8, 1), "1,234,567.8");
  EXPECT_EQ(Fixed(-0.5, 1), "−0.5");
  EXPECT_EQ(Fixed(-0.04, 1), "0.0");
  EXPECT_EQ(Significant(0.04731), "0.0473");
  EXPECT_EQ(Significant(0.09996), "0.100");
  EXPECT_EQ(Significant(29.374, 4), "29.37");
  EXPECT_EQ(Significant(1204), "1,204");
  EXPECT_EQ(Significant(0.0000123), "1.23×10⁻⁵");
  EXPECT_EQ(Significant(-2.5e12), "−2.50×10¹²");
  EXPECT_EQ(Significant(0), "0");
  EXPECT_EQ(Plain(Count(124439808)), "124.4 M");
  EXPECT_EQ(Plain(Count(312832)), "312,832");
  EXPECT_EQ(Plain(Percent(0.89065)), "89.1 %");
  EXPECT_EQ(Plain(Percent(-0.5)), "−50.0 %");
  EXPECT_EQ(Plain(SignedPercent(0.0491)), "+4.91 %");
  EXPECT_EQ(Plain(SignedPercent(1.1057)), "+110.6 %");
  EXPECT_EQ(Plain(SignedPercent(-0.02)), "−2.00 %");
  EXPECT_EQ(Plain(SignedPercent(0.00001)), "0.00 %");
  EXPECT_EQ(Plain(Seconds(0.001)), "under 0.01 s");
  EXPECT_EQ(Plain(Seconds(0.41)), "0.41 s");
  EXPECT_EQ(Plain(Seconds(59.9)), "59.9 s");
  EXPECT_EQ(Plain(Seconds(59.97)), "1 min 00 s");
  EXPECT_EQ(Plain(Seconds(214.7)), "3 min 35 s");
  EXPECT_EQ(Plain(Seconds(3900)), "1 h 05 min");
  EXPECT_EQ(PowerOfTen(-12), "10⁻¹²");
}

TEST(NumbersTest, WhatIsNoNumberIsADash) {
  for (const double value : {kInfinity, -kInfinity, std::nan("")}) {
    EXPECT_EQ(Fixed(value, 2), "–");
    EXPECT_EQ(Significant(value), "–");
    EXPECT_EQ(Percent(value), "–");
    EXPECT_EQ(SignedPercent(value), "–");
    EXPECT_EQ(Seconds(value), "–");
    EXPECT_EQ(Coord(value), "0");
  }
}

TEST(NumbersTest, ExtremesDoNotOverflow) {
  EXPECT_EQ(Fixed(std::numeric_limits<double>::max(), 2).size(), 309u + 102 + 3);
  EXPECT_EQ(Significant(std::numeric_limits<double>::denorm_min()), "4.94×10⁻³²⁴");
  EXPECT_EQ(Plain(Bytes(std::numeric_limits<uint64_t>::max())), "18,447 PB");
  EXPECT_FALSE(Seconds(1e300).empty());
  EXPECT_EQ(Coord(1e300), "1000000");
}

TEST(NumbersTest, CoordinatesAreShort) {
  EXPECT_EQ(Coord(12), "12");
  EXPECT_EQ(Coord(12.34), "12.3");
  EXPECT_EQ(Coord(-0.01), "0");
  EXPECT_EQ(Coord(-3.25), "-3.2");
}

// A locale with "," for decimals and "." between thousands, whatever the machine has installed.
class Commas : public std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

TEST(NumbersTest, NoLocaleChangesThem) {
  const std::locale before = std::locale::global(std::locale(std::locale::classic(), new Commas));
  for (const char* name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"}) {
    if (std::setlocale(LC_ALL, name) != nullptr) break;
  }
  EXPECT_EQ(Fixed(1234.5, 1), "1,234.5");
  EXPECT_EQ(Significant(0.0473), "0.0473");
  EXPECT_EQ(Coord(1234.5), "1234.5");
  EXPECT_EQ(Grouped(1234567), "1,234,567");
  EXPECT_EQ(Plain(Count(124439808)), "124.4 M");
  std::setlocale(LC_ALL, "C");
  std::locale::global(before);
}

TEST(EscapeTest, MarkupIsText) {
  EXPECT_EQ(Escape("<script>alert(\"x\" & 'y')</script>"), "&lt;script&gt;alert(&quot;x&quot; &amp; &#39;y&#39;)&lt;/script&gt;");
  EXPECT_EQ(Escape("&amp;"), "&amp;amp;");
  EXPECT_EQ(Escape("größe 重み"), "größe 重み");
}

TEST(EscapeTest, WhatAPageMustNotCarryIsReplaced) {
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Escape(std::string_view("a\0b", 3)), "a" + bad + "b");
  EXPECT_EQ(Escape("a\x1B[31mb"), "a" + bad + "[31mb");
  EXPECT_EQ(Escape("a\u202Eb"), "a" + bad + "b");       // turns the text around
  EXPECT_EQ(Escape("a\xFF" "b"), "a" + bad + "b");      // no UTF-8
  EXPECT_EQ(Escape("\xC0\xAF"), bad + bad);             // overlong "/"
  EXPECT_EQ(Escape("\xED\xA0\x80"), bad + bad + bad);   // a surrogate
  EXPECT_EQ(Escape("\xEF\xBF\xBF"), bad);               // U+FFFF, which XML forbids
  EXPECT_EQ(Escape("\xE2\x82"), bad + bad);             // cut short
  EXPECT_EQ(Escape("\xF0\x9F\x98\x80"), "\xF0\x9F\x98\x80");
}

TEST(Utf8Test, CutsBetweenCodePoints) {
  EXPECT_EQ(Shortened("größe", 5), "größe");
  EXPECT_EQ(Shortened("größe", 4), "größ…");
  EXPECT_EQ(Shortened("größe", 3), "grö…");
  EXPECT_EQ(CodePoints("größe"), 5u);
  EXPECT_EQ(Beginning("größe", 7), "größe");
  EXPECT_EQ(Beginning("größe", 5), "grö");
  EXPECT_EQ(Beginning("größe", 4), "grö");
  EXPECT_EQ(Beginning("größe", 3), "gr");
  EXPECT_EQ(Beginning("größe", 0), "");
}

}  // namespace
}  // namespace nashswarm::report
