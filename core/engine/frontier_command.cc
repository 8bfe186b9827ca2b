// frontier: the sizes of one model against the losses they cost. Measured once, predicted for every size; some of the sizes are
// made and measured to see how far the predictions hold.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/local_model.h"
#include "core/engine/stage_line.h"
#include "core/engine/table.h"
#include "core/pipeline/local_run.h"
#include "core/report/frontier_svg.h"
#include "core/report/numbers.h"

namespace nashswarm::engine {
namespace {

using pipeline::LocalRun;
using pipeline::Spec;

constexpr double kMostBits = 64;   // as a spec allows
constexpr int kMostPoints = 1000;  // a solution of the game each

struct Bits {
  double from, to;
};

struct Measured {
  uint64_t bytes = 0;  // of the weight file on disk
  double mean_kl = 0, mean_kl_stderr = 0, perplexity = 0, perplexity_change = 0;
};

struct Size {
  double asked = 0;  // bits per weight
  LocalRun::Prediction predicted;
  std::optional<Measured> measured;
};

struct Frontier {
  std::string model, architecture;
  uint64_t parameters = 0;
  bool loss_is_kl = false;
  std::vector<Size> sizes;
  std::vector<std::string> notes;

  double BitsPerWeight(uint64_t bytes) const { return 8.0 * static_cast<double>(bytes) / static_cast<double>(parameters); }
};

absl::Status Wrong(std::string_view reason, std::string_view why, std::string_view hint) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, why, hint);
}

absl::StatusOr<Bits> ParseBits(const std::string& text) {
  constexpr char kHint[] = "give two numbers of bits per weight, the smaller first: --bpw 2:5";
  const size_t colon = text.find(':');
  Bits bits{};
  if (colon == std::string::npos || !absl::SimpleAtod(text.substr(0, colon), &bits.from) || !absl::SimpleAtod(text.substr(colon + 1), &bits.to)) {
    return Wrong("RANGE_INVALID", absl::StrCat("--bpw ", text, ": not a range of the form FROM:TO"), kHint);
  }
  if (!(bits.from > 0 && bits.from <= kMostBits && bits.to > 0 && bits.to <= kMostBits)) {
    return Wrong("RANGE_INVALID", absl::StrFormat("--bpw %s: bits per weight must be above 0 and at most %g", text, kMostBits), kHint);
  }
  if (bits.from >= bits.to) return Wrong("RANGE_INVALID", absl::StrCat("--bpw ", text, ": FROM is not below TO"), kHint);
  return bits;
}

// All that is wrong with the flags alone.
absl::StatusOr<Bits> CheckFlags(const FrontierFlags& flags) {
  NS_ASSIGN_OR_RETURN(const Bits bits, ParseBits(flags.bits));
  if (flags.points < 2 || flags.points > kMostPoints) {
    return Wrong("POINTS_INVALID", absl::StrFormat("--points %d: a curve has 2 to %d points", flags.points, kMostPoints), "leave it out for 13");
  }
  if (flags.measure < 0 || flags.measure > flags.points) {
    return Wrong("MEASURE_INVALID", absl::StrFormat("--measure %d: there are %d points to choose from", flags.measure, flags.points),
                 "give a number from 0 to the number of points, or more --points");
  }
  if (flags.measure > 0 && flags.text.empty()) {
    return Wrong("TEXT_MISSING", "--measure runs the files on a text, and there is none", "give --text FILE: some hundred kilobytes of plain text");
  }
  if (!flags.out.empty() && !absl::EndsWith(flags.out, ".svg")) {
    return Wrong("OUTPUT_INVALID", absl::StrCat(flags.out, ": the drawing is an SVG file"), "give a name that ends in .svg");
  }
  return bits;
}

// What would stop the command after minutes is looked at first.
absl::Status CheckFiles(const FrontierFlags& flags) {
  if (!flags.text.empty() && !PathExists(flags.text)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", absl::StrCat(flags.text, ": no such file"),
                     "give a file of plain text, or leave --text out: losses are then relative errors");
  }
  if (flags.out.empty()) return absl::OkStatus();
  if (IsDirectory(flags.out)) return Wrong("OUTPUT_INVALID", absl::StrCat(flags.out, ": is a directory"), "give another name");
  const std::string directory = DirName(flags.out);
  if (!directory.empty() && !IsDirectory(directory)) {
    return MakeError(absl::StatusCode::kNotFound, "DIRECTORY_NOT_FOUND", absl::StrCat(directory, ": there is no such directory"),
                     "make it first, or give another -o");
  }
  return AtomicFile::Create(flags.out).status();  // takes its temporary file away again
}

// How the text was parted: what is measured on was never calibrated on.
std::optional<std::string> TextNote(const calibrate::Calibration& calibration) {
  if (calibration.texts.empty()) return std::nullopt;
  std::string note = calibration.texts[0].note, used;
  for (const calibrate::TextUsed& text : calibration.texts) {
    absl::StrAppend(&used, used.empty() ? "" : ", ", text.tokens, " tokens for ", text.purpose);
  }
  return absl::StrCat(note, note.empty() ? "" : "; ", "used: ", used);
}

absl::Status Predict(const FrontierFlags& flags, const Bits& bits, const LocalRun& run, StageLine* line, Frontier* out) {
  const uint64_t smallest = run.smallest_file();
  // Rounded up, so that asking for it works.
  const double least = std::ceil(out->BitsPerWeight(smallest) * 1000) / 1000;
  const std::string smallest_text =
      absl::StrFormat("the smallest %s file of this model, %d bytes (%.3f bits per weight)", flags.format, smallest, least);
  line->Begin("predict");
  int below = 0, same = 0;
  for (int i = 0; i < flags.points; ++i) {
    Spec spec;
    spec.bits_per_weight = bits.from + (bits.to - bits.from) * i / (flags.points - 1);
    const uint64_t target = spec.TargetBytes(out->parameters);
    if (target < smallest) {
      ++below;
      continue;
    }
    NS_ASSIGN_OR_RETURN(LocalRun::Prediction predicted, run.Predict(target));
    if (!out->loss_is_kl) predicted.loss /= run.loss_of_zeros();
    if (!out->sizes.empty() && out->sizes.back().predicted.bytes == predicted.bytes) ++same;
    else out->sizes.push_back({spec.bits_per_weight, predicted, std::nullopt});
    line->Progress(i + 1, flags.points, "");
  }
  if (out->sizes.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "TARGET_INFEASIBLE",
                     absl::StrCat("--bpw ", flags.bits, ": every size is below ", smallest_text),
                     absl::StrFormat("begin at %.3f or above%s", least,
                                     flags.format == "gguf" ? ", or take --format nsq, whose files get smaller" : ""));
  }
  if (below > 0) out->notes.push_back(absl::StrFormat("%d of %d sizes left out: they are below %s", below, flags.points, smallest_text));
  if (same > 0) {
    out->notes.push_back(absl::StrFormat("%d of %d sizes left out: the best file is the same as at a smaller one%s", same, flags.points,
                                         out->sizes.back().predicted.at_the_top ? ", where every tensor has all the precision it can use" : ""));
  }
  return absl::OkStatus();
}

// Which sizes are made: spread evenly with both ends; one alone is the middle one.
std::vector<size_t> Chosen(size_t count, size_t sizes) {
  if (count == 1) return {sizes / 2};
  std::vector<size_t> chosen;
  for (size_t k = 0; k < count; ++k) chosen.push_back((k * (sizes - 1) + (count - 1) / 2) / (count - 1));
  return chosen;
}

absl::Status MakeAndMeasure(const FrontierFlags& flags, const LocalRun& run, StageLine* line, Frontier* out) {
  const size_t count = std::min<size_t>(flags.measure, out->sizes.size());
  if (count < static_cast<size_t>(flags.measure)) out->notes.push_back(absl::StrFormat("only %d sizes are left to measure", count));
  const double checkpoint = run.calibration().references.at(0).score.perplexity;
  size_t number = 0;
  for (const size_t s : Chosen(count, out->sizes.size())) {
    Size& size = out->sizes[s];
    line->SetPrefix(absl::StrFormat("file %d of %d, %.2f bits per weight: ", ++number, count, size.asked));
    Spec target;
    target.bits_per_weight = size.asked;
    NS_ASSIGN_OR_RETURN(const LocalRun::Made made, run.Make(target));
    const evaluate::Score& score = made.evaluation.value().score;
    size.measured = Measured{made.bytes, score.agreement->mean_kl, score.agreement->mean_kl_stderr, score.perplexity,
                             score.perplexity / checkpoint - 1};
  }
  return absl::OkStatus();
}

absl::StatusOr<Frontier> Compute(const FrontierFlags& flags, const Bits& bits) {
  NS_RETURN_IF_ERROR(CheckFiles(flags));
  Frontier out;
  StageLine line(&out.notes);
  pipeline::LocalJob job;
  job.model_dir = flags.model;
  job.spec.bits_per_weight = bits.to;
  job.spec.format = flags.format;
  if (!flags.text.empty()) job.spec.calibration = Spec::Calibration::kText;
  job.calibration_path = flags.text;
  job.threads = flags.threads;
  job.observer = &line;
  job.on_stage = [&line](const std::string& stage) { line.Begin(stage); };
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<LocalRun> run, LocalRun::Measure(std::move(job)));
  out.model = ModelName(flags.model);
  out.architecture = run->prepared().architecture;
  out.parameters = run->prepared().parameters;
  out.loss_is_kl = run->has_measured_weights();
  if (const auto note = TextNote(run->calibration())) out.notes.push_back(*note);
  NS_RETURN_IF_ERROR(Predict(flags, bits, *run, &line, &out));
  if (flags.measure > 0) NS_RETURN_IF_ERROR(MakeAndMeasure(flags, *run, &line, &out));
  if (!flags.out.empty() && out.sizes.back().predicted.loss <= 0) out.notes.push_back("a size without any loss cannot be drawn on the logarithmic axis");
  return out;
}

Json ToJson(const Frontier& frontier, const FrontierFlags& flags) {
  Json points = Json::array();
  for (const Size& size : frontier.sizes) {
    Json point = {{"target_bits_per_weight", size.asked},
                  {"bits_per_weight", frontier.BitsPerWeight(size.predicted.bytes)},
                  {"bytes", size.predicted.bytes},
                  {"predicted_loss", size.predicted.loss}};
    if (size.measured) {
      point["measured"] = {{"bytes", size.measured->bytes},
                           {"bits_per_weight", frontier.BitsPerWeight(size.measured->bytes)},
                           {"mean_kl", size.measured->mean_kl},
                           {"mean_kl_stderr", size.measured->mean_kl_stderr},
                           {"perplexity", size.measured->perplexity},
                           {"perplexity_change", size.measured->perplexity_change}};
    }
    points.push_back(std::move(point));
  }
  Json json = {{"model", flags.model},
               {"architecture", frontier.architecture},
               {"parameters", frontier.parameters},
               {"format", flags.format},
               {"loss_unit", frontier.loss_is_kl ? "nats per token" : "relative error"},
               {"points", std::move(points)},
               {"notes", frontier.notes}};
  if (!flags.out.empty()) json["file"] = flags.out;
  return json;
}

// Six decimals, while they say something.
std::string LossText(double loss) { return loss >= 1e-5 || loss == 0 ? absl::StrFormat("%.6f", loss) : absl::StrFormat("%.2e", loss); }

std::string ToText(const Frontier& frontier, const FrontierFlags& flags) {
  std::string out = Paragraph(absl::StrFormat("%s: %s, %d parameters, as %s", flags.model, frontier.architecture, frontier.parameters, flags.format));
  out += Paragraph(frontier.loss_is_kl ? "loss: mean KL divergence from the checkpoint, in nats per token"
                                       : "loss: relative squared error of the weights (zeros for weights: 1); --text FILE gives nats per token");
  out += "\n";
  const bool measured = flags.measure > 0;
  Table table(measured ? std::vector<std::string>{">bits per weight", ">bytes", ">predicted loss", ">bytes on disk", ">measured loss", ">perplexity"}
                       : std::vector<std::string>{">bits per weight", ">bytes", ">predicted loss"});
  for (const Size& size : frontier.sizes) {
    std::vector<std::string> row = {absl::StrFormat("%.3f", frontier.BitsPerWeight(size.predicted.bytes)), absl::StrCat(size.predicted.bytes),
                                    LossText(size.predicted.loss)};
    if (size.measured) {
      row.push_back(absl::StrCat(size.measured->bytes));
      row.push_back(absl::StrCat(LossText(size.measured->mean_kl), " +- ", LossText(size.measured->mean_kl_stderr)));
      row.push_back(absl::StrFormat("%+.2f %%", 100 * size.measured->perplexity_change));
    } else if (measured) {
      row.resize(6);
    }
    table.Add(std::move(row));
  }
  out += table.ToString();
  if (!frontier.notes.empty()) out += "\n";
  for (const std::string& note : frontier.notes) out += Paragraph("note: " + note);
  if (!flags.out.empty()) absl::StrAppend(&out, "drawing: ", flags.out, "\n");
  return out;
}

std::string ToSvg(const Frontier& frontier, const FrontierFlags& flags) {
  report::FrontierChart chart{frontier.model, flags.format, frontier.parameters, frontier.loss_is_kl, {}, {}};
  for (const Size& size : frontier.sizes) {
    chart.predicted.push_back({size.predicted.bytes, frontier.BitsPerWeight(size.predicted.bytes), size.predicted.loss});
    if (size.measured) chart.measured.push_back({size.measured->bytes, size.measured->mean_kl, size.measured->mean_kl_stderr});
  }
  return report::ToSvg(chart);
}

}  // namespace

int RunFrontier(const FrontierFlags& flags, bool json) {
  const absl::StatusOr<Bits> bits = CheckFlags(flags);
  if (!bits.ok()) {
    ReportError(bits.status(), json);
    return 2;
  }
  const absl::StatusOr<Frontier> frontier = Compute(flags, *bits);
  if (!frontier.ok()) return ReportError(frontier.status(), json);
  if (!flags.out.empty()) {
    if (const absl::Status status = WriteFileDurably(flags.out, ToSvg(*frontier, flags)); !status.ok()) return ReportError(status, json);
  }
  if (json) std::cout << ToJson(*frontier, flags).dump() << "\n";
  else std::cout << ToText(*frontier, flags);
  return 0;
}

}  // namespace nashswarm::engine
