// bench quality: what the method is worth. Baselines, the whole method, and the method without each of its parts, all as files on
// disk that are read back and run on the same text.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/calibrate/texts.h"
#include "core/engine/commands.h"
#include "core/engine/stage_line.h"
#include "core/engine/table.h"
#include "core/forward/transformer.h"
#include "core/pipeline/baseline_file.h"
#include "core/pipeline/local_run.h"
#include "core/tokenizer/text_file.h"

namespace nashswarm::engine {
namespace {

using pipeline::LocalRun;
using pipeline::Spec;

constexpr int kContextRounds = 2, kSwarmPlans = 36;  // three rounds of the flock
constexpr uint64_t kWeightBytes = 4ull << 30;        // layers stay as floats while they fit

struct Row {
  std::string kind, name;  // kind: "baseline", "game", "nsq"
  uint64_t bytes = 0;      // of the file
  std::optional<evaluate::Score> score;
  std::string skipped;     // why there is no file; else empty
  double seconds = 0;      // to make and measure it
};

// The method with a part switched off.
struct Variant {
  const char* name;
  nsq::Settings settings;
  Spec::Search search;
};

Spec::Search NoSearch() { return {}; }

nsq::Settings Without(bool nsq::Settings::*part) {
  nsq::Settings settings;
  settings.*part = false;
  return settings;
}

class Bench {
 public:
  explicit Bench(const BenchFlags& flags) : flags_(flags), calibration_(flags.calibration), evaluation_(flags.text), line_(&notes_) {}

  absl::Status Run() {
    if (flags_.calibration.empty()) NS_RETURN_IF_ERROR(PartText());
    NS_ASSIGN_OR_RETURN(whole_, MeasureAll(nsq::Settings(), "nsq", Spec::Calibration::kText, nullptr));
    NS_RETURN_IF_ERROR(RunBaselines());
    NS_RETURN_IF_ERROR(RunGguf());
    NS_RETURN_IF_ERROR(RunUncalibrated());
    for (const Variant& variant : {Variant{"without feedback", Without(&nsq::Settings::feedback), NoSearch()},
                                   Variant{"without water-filling", Without(&nsq::Settings::water_filling), NoSearch()},
                                   Variant{"without dependent quantization", Without(&nsq::Settings::dependent), NoSearch()},
                                   Variant{"without context classes", Without(&nsq::Settings::classes), NoSearch()}}) {
      const auto start = Now();
      line_.SetPrefix(absl::StrCat("nsq ", variant.name, ": "));
      NS_ASSIGN_OR_RETURN(const auto run, MeasureAll(variant.settings, "nsq", Spec::Calibration::kText, whole_.get()));
      NS_RETURN_IF_ERROR(Make(*run, "nsq", variant.name, variant.search, start));
    }
    const std::vector<std::pair<const char*, Spec::Search>> searches = {
        {"game alone, no search", NoSearch()},
        {"game and best response in context", {false, kContextRounds, 0, 0}},
        {"game, context and swarm", {false, kContextRounds, kSwarmPlans, 0}}};
    for (const auto& [name, search] : searches) NS_RETURN_IF_ERROR(Make(*whole_, "nsq", name, search, Now()));
    return absl::OkStatus();
  }

  Json ToJson() const {
    Json rows = Json::array();
    for (const Row& row : rows_) {
      Json json = {{"kind", row.kind}, {"name", row.name}};
      if (!row.score) {
        json["skipped"] = row.skipped;
      } else {
        json["bytes"] = row.bytes;
        json["bits_per_weight"] = Bits(row);
        json["mean_kl"] = row.score->agreement->mean_kl;
        json["mean_kl_stderr"] = row.score->agreement->mean_kl_stderr;
        json["perplexity"] = row.score->perplexity;
        json["perplexity_change"] = Change(row);
        json["same_top1"] = row.score->agreement->same_top1;
        json["seconds"] = row.seconds;
      }
      rows.push_back(std::move(json));
    }
    return {{"model", flags_.model},         {"parameters", whole_->prepared().parameters}, {"target_bits_per_weight", flags_.bits},
            {"text", flags_.text},           {"tokens", Checkpoint().tokens},               {"perplexity", Checkpoint().perplexity},
            {"texts_note", note()},          {"rows", std::move(rows)},                     {"notes", notes_}};
  }

  std::string ToText() const {
    std::string out = Paragraph(absl::StrFormat("%s: %d parameters; perplexity %.3f on %d tokens of %s", flags_.model,
                                                whole_->prepared().parameters, Checkpoint().perplexity, Checkpoint().tokens, flags_.text));
    if (!note().empty()) out += Paragraph(note());
    absl::StrAppend(&out, "sizes are of files on disk, losses of what they decode to\n\n");
    Table table({"method", "", ">bytes", ">bits per weight", ">mean KL", ">perplexity", ">same top token", ">seconds"});
    for (const Row& row : rows_) {
      if (!row.score) {
        table.Add({row.kind, row.name, "", "", "", "", "", ""});
        continue;
      }
      table.Add({row.kind, row.name, absl::StrCat(row.bytes), absl::StrFormat("%.4f", Bits(row)),
                 absl::StrFormat("%.5f +- %.5f", row.score->agreement->mean_kl, row.score->agreement->mean_kl_stderr),
                 absl::StrFormat("%+.3f %%", 100 * Change(row)), absl::StrFormat("%.2f %%", 100 * row.score->agreement->same_top1),
                 absl::StrFormat("%.1f", row.seconds)});
    }
    out += table.ToString();
    for (const Row& row : rows_) {
      if (!row.score) absl::StrAppend(&out, "SKIPPED ", row.kind, " ", row.name, ": ", row.skipped, "\n");
    }
    for (const std::string& note : notes_) out += Paragraph("note: " + note);
    return out;
  }

 private:
  static std::chrono::steady_clock::time_point Now() { return std::chrono::steady_clock::now(); }
  const evaluate::Score& Checkpoint() const { return whole_->calibration().references.at(0).score; }
  std::string note() const { return whole_->calibration().texts.empty() ? "" : whole_->calibration().texts[0].note; }
  double Bits(const Row& row) const { return 8.0 * static_cast<double>(row.bytes) / static_cast<double>(whole_->prepared().parameters); }
  double Change(const Row& row) const { return row.score->perplexity / Checkpoint().perplexity - 1; }

  // One text for both: what is measured on must not calibrate.
  absl::Status PartText() {
    NS_ASSIGN_OR_RETURN(const std::string text, tokenizer::ReadTextFile(flags_.text));
    const calibrate::Texts texts = calibrate::Split(text);
    NS_ASSIGN_OR_RETURN(TemporaryDirectory parts, TemporaryDirectory::Create());
    parts_ = std::make_unique<TemporaryDirectory>(std::move(parts));
    calibration_ = JoinPath(parts_->path(), "calibration.txt"), evaluation_ = JoinPath(parts_->path(), "evaluation.txt");
    NS_RETURN_IF_ERROR(WriteFileUnsynced(calibration_, texts.calibration));
    notes_.push_back(texts.note);
    return WriteFileUnsynced(evaluation_, texts.evaluation);
  }

  absl::StatusOr<std::unique_ptr<LocalRun>> MeasureAll(const nsq::Settings& settings, const char* format, Spec::Calibration calibration,
                                                       const LocalRun* like) {
    pipeline::LocalJob job;
    job.model_dir = flags_.model;
    job.spec.bits_per_weight = flags_.bits;
    job.spec.format = format;
    job.spec.calibration = calibration;
    job.spec.evaluation_text = true;
    job.spec.evaluation_tokens = flags_.tokens;
    if (calibration == Spec::Calibration::kText) job.calibration_path = calibration_;
    job.evaluation_path = evaluation_;
    job.nsq_settings = settings;
    job.threads = flags_.threads;
    job.observer = &line_;
    job.on_stage = [this](const std::string& stage) { line_.Begin(stage); };
    return LocalRun::Measure(std::move(job), like);
  }

  absl::Status Make(const LocalRun& run, const char* kind, const char* name, const Spec::Search& search,
                    std::chrono::steady_clock::time_point start) {
    line_.SetPrefix(absl::StrCat(kind, " ", name, ": "));
    Spec target;
    target.bits_per_weight = flags_.bits;
    target.search = search;
    const absl::StatusOr<LocalRun::Made> made = run.Make(target);
    if (ReasonOf(made.status()) == "TARGET_INFEASIBLE") {
      rows_.push_back({kind, name, 0, std::nullopt, std::string(made.status().message()), 0});
      return absl::OkStatus();
    }
    NS_RETURN_IF_ERROR(made.status());
    Add(kind, name, made->bytes, made->evaluation->score, start);
    return absl::OkStatus();
  }

  void Add(const char* kind, const std::string& name, uint64_t bytes, const evaluate::Score& score, std::chrono::steady_clock::time_point start) {
    rows_.push_back({kind, name, bytes, score, "", std::chrono::duration<double>(Now() - start).count()});
  }

  absl::Status RunBaselines() {
    NS_ASSIGN_OR_RETURN(const pipeline::OpenModel open, pipeline::OpenAndMap(flags_.model));
    NS_ASSIGN_OR_RETURN(const auto moments, calibrate::Moments::Open(whole_->moments_path()));
    const std::vector<evaluate::Window> windows = calibrate::EvaluationWindows(*moments);
    const uint64_t tokens = evaluate::TokensOf(windows);
    const auto progress = [&](uint64_t done, uint64_t) {
      line_.Progress(done, tokens, "");
      return absl::OkStatus();
    };
    const auto predict = [&](const pipeline::OpenModel& model) {
      line_.Begin("evaluate");
      return forward::Transformer::Open(forward::WeightsOf(*model.checkpoint, model.model), {flags_.threads, kWeightBytes});
    };
    line_.SetPrefix("checkpoint: ");
    NS_ASSIGN_OR_RETURN(const auto reference_model, predict(open));
    NS_ASSIGN_OR_RETURN(const evaluate::Predictions reference, evaluate::Predict(*reference_model, windows, progress));
    for (const pipeline::Baseline& baseline : pipeline::Baselines()) {
      const auto start = Now();
      line_.SetPrefix(absl::StrCat(baseline.name, ": "));
      NS_ASSIGN_OR_RETURN(const TemporaryDirectory directory, TemporaryDirectory::Create());
      const std::string path = JoinPath(directory.path(), "baseline.safetensors"), dense = JoinPath(directory.path(), "dense");
      NS_RETURN_IF_ERROR(pipeline::WriteBaseline(open, baseline, path, flags_.threads));
      NS_RETURN_IF_ERROR(pipeline::UnpackBaseline(open, baseline, path, dense, flags_.threads));
      NS_ASSIGN_OR_RETURN(const uint64_t bytes, FileSize(path));
      NS_ASSIGN_OR_RETURN(const pipeline::OpenModel unpacked, pipeline::OpenAndMap(dense));
      NS_ASSIGN_OR_RETURN(const auto model, predict(unpacked));
      NS_ASSIGN_OR_RETURN(const evaluate::Predictions predictions, evaluate::Predict(*model, windows, progress));
      NS_ASSIGN_OR_RETURN(const evaluate::Score score, evaluate::ScorePredictions(predictions, &reference, windows, flags_.threads));
      Add("baseline", baseline.name, bytes, score, start);
    }
    return absl::OkStatus();
  }

  absl::Status RunGguf() {
    const auto start = Now();
    line_.SetPrefix("gguf: ");
    NS_ASSIGN_OR_RETURN(const auto run, MeasureAll(nsq::Settings(), "gguf", Spec::Calibration::kText, whole_.get()));
    return Make(*run, "gguf", "game alone, no search", NoSearch(), start);
  }

  absl::Status RunUncalibrated() {
    const auto start = Now();
    line_.SetPrefix("nsq without calibration: ");
    NS_ASSIGN_OR_RETURN(const auto run, MeasureAll(nsq::Settings(), "nsq", Spec::Calibration::kNone, nullptr));
    return Make(*run, "nsq", "without calibration", NoSearch(), start);
  }

  const BenchFlags& flags_;
  std::string calibration_, evaluation_;  // paths
  std::unique_ptr<TemporaryDirectory> parts_;  // with both, when there was one text
  std::vector<std::string> notes_;
  StageLine line_;
  std::unique_ptr<LocalRun> whole_;       // the whole method, measured
  std::vector<Row> rows_;
};

absl::Status CheckBits(const BenchFlags& flags) {
  if (flags.bits > 0 && flags.bits <= 64) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, "BITS_INVALID", absl::StrFormat("--bpw %g: must be above 0 and at most 64", flags.bits),
                   "give bits per weight of the whole file, such as --bpw 3");
}

absl::Status CheckFiles(const BenchFlags& flags) {
  for (const std::string& path : {flags.model, flags.text, flags.calibration}) {
    if (!path.empty() && !PathExists(path)) return ErrnoError(ENOENT, path);
  }
  return absl::OkStatus();
}

}  // namespace

int RunBenchQuality(const BenchFlags& flags, bool json) {
  if (const absl::Status status = CheckBits(flags); !status.ok()) {
    ReportError(status, json);
    return 2;
  }
  if (const absl::Status status = CheckFiles(flags); !status.ok()) return ReportError(status, json);
  Bench bench(flags);
  if (const absl::Status status = bench.Run(); !status.ok()) return ReportError(status, json);
  if (json) std::cout << bench.ToJson().dump() << "\n";
  else std::cout << bench.ToText();
  return 0;
}

}  // namespace nashswarm::engine
