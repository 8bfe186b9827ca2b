#include "client/cli/report_text.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "base/commandline/wrap.h"
#include "client/cli/errors.h"
#include "client/cli/output.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

using commandline::kWidth;
using commandline::Shorten;
using commandline::WidestLine;
using commandline::Wrap;
using nlohmann::json;

constexpr char kSchema[] = "nashswarm.report/1";
constexpr char kMissing[] = "-";
constexpr size_t kWorstTensors = 5;
constexpr size_t kNameColumns = 42;  // beside the four other columns of a tensor

std::string Text(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<double> Number(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

bool IsTrue(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

const json& List(const json& object, const char* key) {
  static const json empty = json::array();
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_array() ? *found : empty;
}

// Whatever the file says cannot move the cursor.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

using Formatter = std::function<std::string(double)>;

std::string Cell(const json& object, const char* key, const Formatter& format) {
  const std::optional<double> value = Number(object, key);
  return value ? format(*value) : kMissing;
}

std::string Whole(double value) { return FormatFixed(value, 0); }
Formatter Fixed(int decimals) {
  return [decimals](double value) { return FormatFixed(value, decimals); };
}
Formatter Significant(int digits) {
  return [digits](double value) { return FormatSignificant(value, digits); };
}

std::string Title(const std::string& text, bool color) {
  return "\n" + (color ? "\x1b[1m" + text + "\x1b[0m" : text) + "\n";
}

bool AnyWith(const json& rows, const char* key) {
  return std::any_of(rows.begin(), rows.end(), [key](const json& row) { return row.is_object() && row.contains(key); });
}

// "±0.0011"; "" when it is unknown.
std::string Error(const json& quality, const char* key, const Formatter& format) {
  const std::optional<double> error = Number(quality, key);
  return error && *error > 0 ? " ±" + format(*error) : "";
}

// Tenfold and worse: by how much says little.
std::string Change(double share) {
  if (share >= 999) return "over x1000";
  return share >= 9 ? "x" + FormatSignificant(1 + share, 3) : FormatChange(share);
}

// The table's room is dear: what all rows of a kind share stands in the legend below.
std::string ShortName(const json& row) {
  std::string name = Text(row, "name");
  const std::string rounding = "rounding in ", bits = " bits";
  const size_t comma = name.find(", ");
  if (name.rfind(rounding, 0) == 0 && comma != std::string::npos && name.size() > comma + 2 + bits.size()) {  // "groups of 32, 4 bits"
    const std::string width = name.substr(comma + 2, name.size() - comma - 2 - bits.size());
    name = width + "-bit " + name.substr(rounding.size(), comma - rounding.size());
  }
  return (IsTrue(row, "is_artifact") ? "* " : "  ") + name;
}

void AddQualityCells(const json& row, bool errors, std::vector<std::string>* cells) {
  const json quality = row.value("quality", json::object());
  const bool itself = Text(row, "name") == "checkpoint" && !IsTrue(row, "is_artifact");
  std::string divergence = itself ? kMissing : Cell(quality, "mean_kl", Significant(3));
  std::string change = itself ? kMissing : Cell(quality, "perplexity_change", Change);
  if (errors) {
    divergence += Error(quality, "mean_kl_stderr", Significant(1));
    change += Error(quality, "perplexity_change_stderr", [](double share) { return FormatFixed(100 * share, 2); });
  }
  cells->push_back(divergence);
  cells->push_back(Cell(quality, "same_top1", FormatPercent));
  cells->push_back(change);
}

struct HeadlineColumns {
  bool measured = false;
  double unit = 0;  // this file's predicted loss; 0: no losses are shown
  bool errors = true;
};

// Of a lossless artifact 0, of which no other loss is a multiple.
double PredictedLossOfArtifact(const json& rows) {
  for (const json& row : rows) {
    if (IsTrue(row, "is_artifact")) return Number(row, "predicted_loss").value_or(0);
  }
  return 0;
}

std::string HeadlineTable(const json& rows, const HeadlineColumns& wanted, bool color) {
  const auto right = Table::Align::kRight;
  const bool predicted = wanted.unit > 0;
  std::vector<Table::Column> columns = {{.title = "", .whole = true}, {"SIZE", right}, {"BITS", right}};
  if (wanted.measured) columns.insert(columns.end(), {{"MEAN KL", right}, {"TOP-1", right}, {"PERPLEXITY", right}});
  else if (predicted) columns.insert(columns.end(), {{"OF FP32 SAVED", right}, {"PREDICTED LOSS", right}});
  else columns.insert(columns.end(), {{"OF FP32 SAVED", right}, {"OF SOURCE SAVED", right}});
  Table table(columns);
  for (const json& row : rows) {
    if (!row.is_object()) continue;
    std::vector<std::string> cells = {Shorten(ShortName(row), 30), Cell(row, "bytes", FormatBytes),
                                      Cell(row, "bits_per_weight", Fixed(2))};
    if (wanted.measured) {
      AddQualityCells(row, wanted.errors, &cells);
    } else {
      cells.push_back(Cell(row, "ratio_fp32", FormatPercent));
      // Without a unit: relative to this file's.
      const auto relative = [&](double loss) { return FormatSignificant(loss / wanted.unit, 3); };
      cells.push_back(predicted ? Cell(row, "predicted_loss", relative) : Cell(row, "ratio_source", FormatPercent));
    }
    table.AddRow(std::move(cells));
  }
  return table.Render(color);
}

// Standard errors are shown where they fit beside the rest.
std::string Headline(const json& report, bool color) {
  const json& rows = List(report, "headline");
  if (rows.empty()) return "";
  HeadlineColumns columns{.measured = AnyWith(rows, "quality"), .unit = PredictedLossOfArtifact(rows)};
  if (WidestLine(HeadlineTable(rows, columns, false)) > kWidth) columns.errors = false;
  const std::string text = "\n" + HeadlineTable(rows, columns, color);
  if (columns.measured) {
    return text + "* this file; MEAN KL: divergence from the checkpoint, nats a token; TOP-1: same\n"
                  "most likely token; PERPLEXITY: change; ±: standard error; groups of: rounding\n";
  }
  return text + (columns.unit > 0 ? "PREDICTED LOSS: weighted error, this file's is 1\n" : "") +
         "* this file; quality was not measured: give --evaluate FILE or --calibrate FILE\n";
}

// Few tokens say little: the same bounds as in report.html (IsRough of core/report, which no client links).
std::string Rough(const json& report) {
  for (const json& row : List(report, "headline")) {
    if (!row.is_object() || !IsTrue(row, "is_artifact")) continue;
    const json quality = row.value("quality", json::object());
    const std::optional<double> tokens = Number(quality, "tokens"), kl = Number(quality, "mean_kl");
    if (!tokens || !kl) return "";
    constexpr double kFewTokens = 1000, kLargeError = 0.1;
    const bool uncertain = *kl > 0 && Number(quality, "mean_kl_stderr").value_or(0) > kLargeError * *kl;
    if (*tokens >= kFewTokens && !uncertain) return "";
    return "a short evaluation text (" + Whole(*tokens) + " tokens scored): take these as a first impression\n";
  }
  return "";
}

std::string MemoryText(const json& memory) {
  if (!memory.is_object()) return "";
  return Cell(memory, "weight_bytes", FormatBytes) + " of weights, " + Cell(memory, "cache_bytes", FormatBytes) +
         " for a context of " + Cell(memory, "context", Whole) + " tokens";
}

std::string Facts(const json& report) {
  constexpr size_t kIndent = 12;
  std::string out;
  const auto add = [&](const std::string& label, const std::string& value) {
    if (value.empty()) return;
    out += label + std::string(kIndent - label.size(), ' ') + Wrap(Printable(value), kWidth, kIndent, kIndent) + "\n";
  };
  const std::string architecture = Text(report, "architecture");
  const json artifact = report.value("artifact", json::object());
  add("model", Text(report, "model_name") + (architecture.empty() ? "" : " (" + architecture + ")"));
  add("parameters", Cell(report, "parameters", FormatCount));
  add("target", Text(report, "target"));
  add("plan", Text(report, "plan_in_words"));
  add(Text(report, "plan_in_words").empty() ? "plan" : "", Text(report, "plan_summary"));
  if (!Text(artifact, "name").empty()) add("file", Text(artifact, "name") + ", " + Cell(artifact, "bytes", Whole) + " bytes");
  add("sha256", Text(artifact, "sha256"));
  add("to run it", MemoryText(report.value("memory", json())));
  add("made", Text(report, "made") + (Text(report, "cpu").empty() ? "" : " on " + Text(report, "cpu")));
  add("engine", Text(report, "engine"));
  add("again", Text(report, "command"));
  return out;
}

// Players with the greatest `key` first; of equal ones the first in the file.
std::vector<const json*> Worst(const json& tensors, const char* key) {
  std::vector<const json*> worst;
  for (const json& tensor : tensors) {
    const bool is_player = tensor.is_object() && !IsTrue(tensor, "vector");
    if (is_player && Number(tensor, key).value_or(0) > 0) worst.push_back(&tensor);
  }
  std::stable_sort(worst.begin(), worst.end(),
                   [key](const json* a, const json* b) { return *Number(*a, key) > *Number(*b, key); });
  return worst;
}

std::string WorstTensors(const json& report, bool color) {
  const json& tensors = List(report, "tensors");
  std::vector<const json*> worst = Worst(tensors, "predicted_loss");
  double total = 0;
  for (const json* tensor : worst) total += *Number(*tensor, "predicted_loss");
  const bool by_loss = !worst.empty();
  if (!by_loss) worst = Worst(tensors, "relative_error");
  if (worst.empty()) return "";
  worst.resize(std::min(worst.size(), kWorstTensors));
  const auto right = Table::Align::kRight;
  Table table({{"TENSOR"}, {"FORMAT"}, {"BITS", right}, {"ERROR", right}, {"OF LOSS", right}});
  for (const json* tensor : worst) {
    const auto share = [&](double loss) { return FormatPercent(loss / total); };
    table.AddRow({Shorten(Text(*tensor, "name"), kNameColumns), Text(*tensor, "format"), Cell(*tensor, "bits_per_weight", Fixed(3)),
                  Cell(*tensor, "relative_error", Significant(3)),
                  by_loss ? Cell(*tensor, "predicted_loss", share) : kMissing});
  }
  const std::string of = std::to_string(worst.size()) + " of " + std::to_string(tensors.size());
  return Title("Worst tensors, " + of, color) + table.Render(color);
}

std::string Texts(const json& report, bool color) {
  const json& texts = List(report, "texts");
  if (texts.empty()) return "";
  const auto right = Table::Align::kRight;
  Table table({{"FOR"}, {"SOURCE"}, {"TOKENS", right}, {"CONTEXT", right}, {"SHA-256"}});
  std::string notes;
  for (const json& text : texts) {
    const std::string digest = Text(text, "sha256");
    table.AddRow({Text(text, "purpose"), Shorten(Text(text, "source"), 37), Cell(text, "tokens", Whole),
                  Cell(text, "context", Whole), digest.empty() ? kMissing : digest.substr(0, 8)});
    const std::string note = Wrap(Printable(Text(text, "note")), kWidth, 0, 2);
    if (!note.empty() && notes.find(note) == std::string::npos) notes += note + "\n";
  }
  return Title("Texts", color) + table.Render(color) + notes;
}

std::string Costs(const json& report, bool color) {
  const json& costs = List(report, "costs");
  if (costs.empty()) return "";
  const auto right = Table::Align::kRight;
  Table table({{"STAGE"}, {"TASKS", right}, {"TIME", right}, {"PEAK MEMORY", right}});
  for (const json& cost : costs) {
    table.AddRow({Text(cost, "stage"), Cell(cost, "tasks", Whole), Cell(cost, "seconds", FormatDuration),
                  Cell(cost, "peak_bytes", FormatBytes)});
  }
  return Title("Times", color) + table.Render(color);
}

std::string Warnings(const json& report, bool color) {
  std::string text;
  for (const json& warning : List(report, "warnings")) {
    if (!warning.is_string()) continue;
    constexpr size_t kLabel = sizeof("warning:");
    text += (color ? "\x1b[33mwarning:\x1b[0m " : "warning: ") + Wrap(Printable(warning.get<std::string>()), kWidth, kLabel, kLabel) + "\n";
  }
  return text.empty() ? "" : "\n" + text;
}

}  // namespace

absl::StatusOr<json> ParseReport(const std::string& text, const std::string& name) {
  json report = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const std::string schema = Text(report, "schema");
  if (schema == kSchema) return report;
  if (schema.rfind("nashswarm.report/", 0) == 0) {
    return MakeError(absl::StatusCode::kUnimplemented, "REPORT_SCHEMA",
                     name + " is written in " + schema + "; this nashswarm reads " + kSchema,
                     "use the nashswarm that made it, or read report.html");
  }
  return MakeError(absl::StatusCode::kDataLoss, "BAD_REPORT", name + " is not a report of nashswarm",
                   "give the report.json of an artifact, or the directory it was pulled into");
}

std::string RenderReport(const json& report, bool color) {
  return Facts(report) + Headline(report, color) + Rough(report) + WorstTensors(report, color) + Texts(report, color) +
         Costs(report, color) + Warnings(report, color);
}

}  // namespace nashswarm::cli
