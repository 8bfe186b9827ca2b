#include "core/calibrate/texts.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace nashswarm::calibrate {
namespace {

constexpr double kHeldOut = 0.2;
// Shorter lines (headings, "Thank you.") come up in any text and give nothing away.
constexpr size_t kTellingLine = 40;

// Lines with their ends; together they are the text.
std::vector<std::string_view> LinesOf(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const size_t length = end == std::string_view::npos ? text.size() : end + 1;
    lines.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return lines;
}

std::string_view Trimmed(std::string_view line) {
  const size_t first = line.find_first_not_of(" \t\r\n"), last = line.find_last_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : line.substr(first, last - first + 1);
}

bool InsideCharacter(std::string_view text, size_t at) {
  return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

}  // namespace

Texts Split(std::string_view text) {
  size_t cut = static_cast<size_t>(static_cast<double>(text.size()) * (1 - kHeldOut));
  // A line's end within the next twentieth of the text, else wherever it is, but between characters.
  const size_t line = text.find('\n', cut);
  if (line != std::string_view::npos && line + 1 < text.size() && line < cut + text.size() / 20) cut = line + 1;
  while (InsideCharacter(text, cut)) ++cut;
  return {std::string(text.substr(0, cut)), std::string(text.substr(cut)),
          absl::StrCat("one text was given: its first ", cut, " bytes calibrate, its last ", text.size() - cut,
                       " are held out to measure on")};
}

Texts Part(std::string_view calibration, std::string_view evaluation) {
  if (calibration == evaluation) return Split(calibration);
  std::unordered_set<std::string_view> held_out;
  for (const std::string_view line : LinesOf(evaluation)) {
    if (Trimmed(line).size() >= kTellingLine) held_out.insert(Trimmed(line));
  }
  Texts texts{"", std::string(evaluation), ""};
  uint64_t dropped = 0;
  for (const std::string_view line : LinesOf(calibration)) {
    if (held_out.contains(Trimmed(line))) {
      ++dropped;
    } else {
      texts.calibration.append(line);
    }
  }
  if (dropped > 0) {
    texts.note = absl::StrCat(dropped, dropped == 1 ? " line" : " lines",
                              " of the calibration text, found in the evaluation text too, left out of calibration");
  }
  return texts;
}

}  // namespace nashswarm::calibrate
