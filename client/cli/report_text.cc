#include "client/cli/report_text.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "client/cli/errors.h"
#include "client/cli/output.h"
#include "client/cli/sizes.h"
#include "core/commandline/help.h"

namespace nashswarm::cli {
namespace {

using nlohmann::json;

constexpr char kSchema[] = "nashswarm.report/1";
constexpr char kMissing[] = "-";
constexpr size_t kWorstTensors = 5;

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

bool AnyQuality(const json& rows) {
  return std::any_of(rows.begin(), rows.end(),
                     [](const json& row) { return row.is_object() && row.contains("quality"); });
}

std::string NameOfRow(const json& row) { return (IsTrue(row, "is_artifact") ? "* " : "  ") + Text(row, "name"); }

std::vector<std::string> QualityCells(const json& row) {
  const json quality = row.value("quality", json::object());
  std::string divergence = Cell(quality, "mean_kl", Significant(3));
  if (const auto error = Number(quality, "mean_kl_stderr"); error && *error > 0) {
    divergence += " ± " + FormatSignificant(*error, 2);
  }
  return {NameOfRow(row),
          Cell(quality, "perplexity", Significant(4)),
          Cell(quality, "perplexity_change", FormatChange),
          divergence,
          Cell(quality, "p99_kl", Significant(3)),
          Cell(quality, "same_top1", FormatPercent)};
}

// Sizes, and below them what was measured: side by side they are too wide for a terminal.
std::string Headline(const json& report, bool color) {
  const json& rows = List(report, "headline");
  if (rows.empty()) return "";
  const auto right = Table::Align::kRight;
  Table sizes({{""}, {"SIZE", right}, {"BITS/WEIGHT", right}, {"OF FP32 SAVED", right}, {"OF SOURCE SAVED", right}});
  Table qualities({{""}, {"PERPLEXITY", right}, {"CHANGE", right}, {"MEAN KL", right}, {"P99 KL", right}, {"SAME TOP-1", right}});
  for (const json& row : rows) {
    if (!row.is_object()) continue;
    sizes.AddRow({NameOfRow(row), Cell(row, "bytes", FormatBytes), Cell(row, "bits_per_weight", Fixed(4)),
                  Cell(row, "ratio_fp32", FormatPercent), Cell(row, "ratio_source", FormatPercent)});
    qualities.AddRow(QualityCells(row));
  }
  const bool measured = AnyQuality(rows);
  std::string text = "\n" + sizes.Render(color);
  if (measured) text += "\n" + qualities.Render(color);
  text += measured ? "* this artifact; KL divergence from the checkpoint, nats a token\n"
                   : "* this artifact; quality was not measured: give --evaluate FILE\n";
  return text;
}

std::string Facts(const json& report, bool color) {
  Table table({{""}, {""}});
  const auto add = [&](const char* label, const std::string& value) {
    if (!value.empty()) table.AddRow({label, value});
  };
  const std::string architecture = Text(report, "architecture");
  add("model", Text(report, "model_name") + (architecture.empty() ? "" : " (" + architecture + ")"));
  add("parameters", Cell(report, "parameters", FormatCount));
  add("target", Text(report, "target"));
  add("plan", Text(report, "plan_summary"));
  add("engine", Text(report, "engine"));
  return table.Render(color);
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
  Table table({{"TENSOR"}, {"FORMAT"}, {"BITS/WEIGHT", right}, {"RELATIVE ERROR", right}, {"SHARE OF LOSS", right}});
  for (const json* tensor : worst) {
    const auto share = [&](double loss) { return FormatPercent(loss / total); };
    table.AddRow({Text(*tensor, "name"), Text(*tensor, "format"), Cell(*tensor, "bits_per_weight", Fixed(4)),
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
    table.AddRow({Text(text, "purpose"), Text(text, "source"), Cell(text, "tokens", Whole),
                  Cell(text, "context", Whole), digest.empty() ? kMissing : digest.substr(0, 12)});
    const std::string note = Text(text, "note");
    if (!note.empty() && notes.find(note) == std::string::npos) notes += commandline::Wrap(note, commandline::kWidth) + "\n";
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
    std::string line = warning.get<std::string>();
    std::replace_if(
        line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    text += (color ? "\x1b[33mwarning:\x1b[0m " : "warning: ") + line + "\n";
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
  return Facts(report, color) + Headline(report, color) + WorstTensors(report, color) + Texts(report, color) +
         Costs(report, color) + Warnings(report, color);
}

}  // namespace nashswarm::cli
