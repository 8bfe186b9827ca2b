#include "core/calibrate/calibration.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "absl/strings/str_join.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/calibrate/collect.h"
#include "core/calibrate/imatrix.h"
#include "core/calibrate/texts.h"
#include "core/forward/fisher.h"
#include "core/forward/generate.h"
#include "core/tokenizer/text_file.h"

namespace nashswarm::calibrate {
namespace {

using evaluate::Window;

// Calibration windows: long enough for attention to look back, short enough for many different beginnings.
constexpr uint64_t kCalibrationContext = 512;
// Of the model's own sequences every fifth is held out.
constexpr uint64_t kHeldOutEvery = 5;
// One calibration window in so many chooses between plans, up to as many tokens as tell plans apart that differ by a few per
// cent in KL divergence.
constexpr size_t kSearchEvery = 8;
constexpr uint64_t kMostSearchTokens = 16 << 10;
// Sequences written side by side: enough rows to use the matrix products, few enough to keep their keys and values small.
constexpr uint64_t kLanes = 32;
// A whole model is worth this many bytes of floats in memory at most; beyond that layers are read when they are needed.
constexpr uint64_t kWeightBytes = 8ull << 30;

// Texts become windows of tokens.
struct Material {
  std::vector<Window> calibration, evaluation, search;
  std::vector<TextUsed> texts;
};

// As many windows of the text's beginning as `limit` tokens allow.
absl::StatusOr<std::vector<Window>> Cut(const Subject& subject, const std::string& text, const std::string& what,
                                        uint64_t model_context, uint64_t context, uint64_t limit) {
  evaluate::WindowOptions options;
  options.context = context;
  options.max_tokens = std::max(limit, context);
  // Tokenizing a large text whole, to use its beginning alone, would be most of the work.
  constexpr uint64_t kBytesPerToken = 16;
  std::string_view part = text;
  if (part.size() / kBytesPerToken > options.max_tokens) {  // not multiplied: any number may be asked for
    size_t end = options.max_tokens * kBytesPerToken;
    while (end < part.size() && (static_cast<uint8_t>(part[end]) & 0xC0) == 0x80) ++end;
    part = part.substr(0, end);
  }
  return evaluate::CutText(part, what, *subject.tokenizer, model_context, options);
}

// What is added to a note when a text has fewer tokens than were asked for. A part of a window at the end is not used.
std::string ShortOf(uint64_t asked, const std::vector<Window>& windows) {
  const uint64_t used = evaluate::TokensOf(windows);
  if (asked == 0 || windows.empty() || asked < used + windows[0].tokens.size()) return "";
  return absl::StrCat("the text has fewer tokens than the ", asked, " asked for: all ", used, " that fill windows are used");
}

std::string Join(const std::string& a, const std::string& b) { return a.empty() || b.empty() ? a + b : absl::StrCat(a, "; ", b); }

TextUsed Describe(const std::string& purpose, const std::string& source, const std::string& text,
                  const std::vector<Window>& windows, const std::string& note) {
  return {purpose, source, text.empty() ? "" : ToHex(Sha256Of(text)), text.size(), evaluate::TokensOf(windows),
          windows.empty() ? 0 : windows[0].tokens.size(), note};
}

// Sets some of the calibration windows aside, spread over the text: plans are chosen by them, so nothing may be fitted to them.
void HoldSearchWindows(Material* material) {
  if (material->calibration.size() < 2 * kSearchEvery) return;  // too little text to give any away
  std::vector<Window> fitted;
  for (size_t w = 0; w < material->calibration.size(); ++w) {
    const bool held = w % kSearchEvery == kSearchEvery - 1 && material->search.size() * material->calibration[w].tokens.size() < kMostSearchTokens;
    (held ? material->search : fitted).push_back(std::move(material->calibration[w]));
  }
  material->calibration = std::move(fitted);
}

absl::Status AddEvaluation(const Subject& subject, const Request& request, const std::string& text, const std::string& source,
                           const std::string& note, uint64_t model_context, Material* material) {
  NS_ASSIGN_OR_RETURN(const uint64_t context, evaluate::ResolveContext(request.evaluation_context, model_context));
  const uint64_t limit = request.evaluation_tokens == 0 ? kDefaultEvaluationTokens : request.evaluation_tokens;
  const std::string name = request.evaluation_path.empty() ? absl::StrCat(request.calibration_path, ": its held-out last fifth")
                                                           : request.evaluation_path;
  NS_ASSIGN_OR_RETURN(material->evaluation, Cut(subject, text, name, model_context, context, limit));
  material->texts.push_back(Describe("evaluation", source, text, material->evaluation,
                                     Join(note, ShortOf(request.evaluation_tokens, material->evaluation))));
  return absl::OkStatus();
}

absl::Status AddText(const Subject& subject, const Request& request, uint64_t model_context, Material* material) {
  NS_ASSIGN_OR_RETURN(const std::string calibration, tokenizer::ReadTextFile(request.calibration_path));
  Texts texts;
  const bool own_evaluation = !request.evaluation_path.empty();
  if (own_evaluation) {
    NS_ASSIGN_OR_RETURN(const std::string evaluation, tokenizer::ReadTextFile(request.evaluation_path));
    texts = Part(calibration, evaluation);
  } else {
    texts = Split(calibration);
  }
  const uint64_t context = std::min(kCalibrationContext, model_context),
                 limit = request.tokens == 0 ? kDefaultTextTokens : request.tokens;
  NS_ASSIGN_OR_RETURN(material->calibration,
                      Cut(subject, texts.calibration, request.calibration_path, model_context, context, limit));
  const std::string all_used = ShortOf(request.tokens, material->calibration);
  HoldSearchWindows(material);
  material->texts.push_back(
      Describe("calibration", "a text", texts.calibration, material->calibration, Join(texts.note, all_used)));
  return AddEvaluation(subject, request, texts.evaluation, own_evaluation ? "a text" : "held-out part of the calibration text",
                       texts.note, model_context, material);
}

absl::Status AddOwnText(const Subject& subject, const Request& request, forward::Transformer& transformer,
                        const evaluate::Progress& progress, Material* material) {
  const uint64_t length = std::min(kCalibrationContext, transformer.context()),
                 limit = request.tokens == 0 ? kDefaultSelfTokens : request.tokens,
                 calibrating = std::max<uint64_t>(limit / length, 1),
                 held_out = request.evaluation_path.empty() ? (calibrating + kHeldOutEvery - 2) / (kHeldOutEvery - 1) : 0,
                 sequences = calibrating + held_out;
  int32_t start = subject.tokenizer->bos() >= 0 ? subject.tokenizer->bos() : subject.tokenizer->eos();
  start = std::max(start, 0);
  std::vector<std::vector<int32_t>> written;
  while (written.size() < sequences) {
    const uint64_t lanes = std::min(kLanes, sequences - written.size()), before = written.size() * length;
    forward::Sampling sampling;
    sampling.seed = request.seed * 0x9E3779B97F4A7C15ull + written.size();  // every group its own draws
    NS_ASSIGN_OR_RETURN(std::vector<std::vector<int32_t>> group,
                        forward::Generate(transformer, std::vector<std::vector<int32_t>>(lanes, {start}), length, sampling,
                                          [&](uint64_t made) { return progress(before + made, sequences * length); }));
    for (std::vector<int32_t>& sequence : group) written.push_back(std::move(sequence));
  }
  for (uint64_t s = 0; s < sequences; ++s) {
    const bool hold = held_out > 0 && (s % kHeldOutEvery == kHeldOutEvery - 1 || sequences - s <= held_out - material->evaluation.size());
    Window window{std::move(written[s]), length / 2 + 1};
    (hold && material->evaluation.size() < held_out ? material->evaluation : material->calibration).push_back(std::move(window));
  }
  HoldSearchWindows(material);
  const std::string source = absl::StrCat("the model's own text (seed ", request.seed, ")");
  const std::string note = held_out == 0 ? "" : absl::StrCat(calibrating, " sequences calibrate, ", held_out,
                                                             " others are held out to measure on");
  material->texts.push_back(Describe("calibration", source, "", material->calibration, note));
  if (held_out > 0) material->texts.push_back(Describe("evaluation", source, "", material->evaluation, note));
  return absl::OkStatus();
}

// Injection runs on the first of the calibration windows: a tenth of a teraflop a run, and enough tokens to see an effect.
std::vector<Window> InjectionWindows(const std::vector<Window>& windows, const model::Model& model) {
  constexpr uint64_t kLeast = 1024, kMost = 4096;
  constexpr double kFlop = 2e11;
  const auto tokens = static_cast<uint64_t>(std::clamp(kFlop / (2.0 * static_cast<double>(model.parameters)),
                                                       static_cast<double>(kLeast), static_cast<double>(kMost)));
  const uint64_t count = std::clamp<uint64_t>(tokens / windows[0].tokens.size(), 1, windows.size());
  // Spread over the text: its beginning may be about one thing.
  std::vector<Window> chosen;
  for (uint64_t i = 0; i < count; ++i) chosen.push_back(windows[i * windows.size() / count]);
  return chosen;
}

// The Fisher information needs fewer tokens than moments: a row is one number. About ten teraflops, three passes in all.
forward::Batch FisherBatch(const std::vector<Window>& windows, const model::Model& model) {
  constexpr double kFlop = 1e13, kLeast = 2048, kMost = 16384;
  const double tokens = std::clamp(kFlop / (6.0 * static_cast<double>(model.parameters)), kLeast, kMost);
  const size_t length = windows[0].tokens.size();
  const size_t count = std::clamp<size_t>(static_cast<size_t>(tokens) / length, 1, windows.size());
  forward::Batch batch;
  batch.windows = count;
  batch.length = length;
  for (size_t i = 0; i < count; ++i) {
    const std::vector<int32_t>& chosen = windows[i * windows.size() / count].tokens;
    batch.tokens.insert(batch.tokens.end(), chosen.begin(), chosen.end());
  }
  return batch;
}

}  // namespace

absl::StatusOr<Calibration> Calibrate(const Subject& subject, const Request& request, const std::string& moments_path,
                                      const Progress& progress) {
  NS_ASSIGN_OR_RETURN(const auto transformer, forward::Transformer::Open(subject.weights, {request.threads, kWeightBytes}));
  const uint64_t model_context = transformer->context();
  const auto step = [&](const char* name) {
    return [&progress, name](uint64_t done, uint64_t total) { return progress(name, done, total); };
  };
  Material material;
  Calibration calibration;
  std::map<std::string, InputMoment> given;
  switch (request.source) {
    case Request::Source::kText:
      NS_RETURN_IF_ERROR(AddText(subject, request, model_context, &material));
      break;
    case Request::Source::kSelf:
      NS_RETURN_IF_ERROR(AddOwnText(subject, request, *transformer, step("the model writes its text"), &material));
      break;
    case Request::Source::kImatrix: {
      NS_ASSIGN_OR_RETURN(given, ReadImatrix(request.calibration_path, *subject.model, transformer->tied_head()));
      NS_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(request.calibration_path));
      material.texts.push_back(Describe("calibration", "an importance matrix", bytes, {}, ""));
      break;
    }
    case Request::Source::kNone:
      break;
  }
  if (request.source != Request::Source::kText && !request.evaluation_path.empty()) {
    NS_ASSIGN_OR_RETURN(const std::string text, tokenizer::ReadTextFile(request.evaluation_path));
    NS_RETURN_IF_ERROR(AddEvaluation(subject, request, text, "a text", "", model_context, &material));
  }
  calibration.texts = material.texts;

  std::optional<forward::Fisher> fisher;
  if (!material.calibration.empty()) {
    NS_ASSIGN_OR_RETURN(fisher, forward::MeasureFisher(subject.weights, FisherBatch(material.calibration, *subject.model), request.seed,
                                                       {request.threads, kWeightBytes}, step("output gradients")));
  }
  const MomentSources sources{material.calibration, std::move(given), fisher ? &*fisher : nullptr, material.evaluation,
                              material.search};
  NS_RETURN_IF_ERROR(CollectMoments(*transformer, *subject.model, sources, request.threads, moments_path, step("input moments")));
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<Moments> moments, Moments::Open(moments_path));
  for (uint64_t layer = 0; !material.calibration.empty() && transformer->experts() > 0 && layer < transformer->layers(); ++layer) {
    const std::vector<float> tokens = moments->Vector(absl::StrCat(kExpertTokens, layer));
    calibration.expert_tokens.emplace_back(tokens.begin(), tokens.end());
  }
  if (!material.evaluation.empty()) {
    NS_ASSIGN_OR_RETURN(calibration.references,
                        MeasureReferences(*transformer, subject.weights, *subject.model, subject.source_weight_bytes,
                                          material.evaluation, request.threads, step("checkpoint and baselines")));
  }
  if (!material.calibration.empty() && request.measure_loss_weights) {
    const std::vector<Window> windows = InjectionWindows(material.calibration, *subject.model);
    NS_ASSIGN_OR_RETURN(calibration.loss_weights,
                        MeasureLossWeights(*transformer, subject.weights, *subject.model, *moments, windows, request.threads,
                                           step("loss weights")));
  }
  return calibration;
}

std::string UnusedExperts(const Calibration& calibration) {
  uint64_t unused = 0, all = 0;
  std::string where;
  for (size_t layer = 0; layer < calibration.expert_tokens.size(); ++layer) {
    std::vector<size_t> experts;
    for (size_t e = 0; e < calibration.expert_tokens[layer].size(); ++e) {
      if (calibration.expert_tokens[layer][e] == 0) experts.push_back(e);
    }
    all += calibration.expert_tokens[layer].size();
    unused += experts.size();
    if (!experts.empty()) absl::StrAppend(&where, where.empty() ? "" : "; ", "layer ", layer, ": ", absl::StrJoin(experts, ", "));
  }
  if (unused == 0) return "";
  return absl::StrCat("no calibration token used ", unused, " of ", all, " experts (", where,
                      "): they are compressed as if all inputs of their layers were theirs; calibrate on more text, or on other text");
}

namespace {

std::vector<Window> WindowsUnder(const char* name, const Moments& moments) {
  std::vector<Window> windows;
  for (std::vector<int32_t>& tokens : moments.Windows(name)) {
    const uint64_t from = tokens.size() / 2 + 1;
    windows.push_back({std::move(tokens), from});
  }
  return windows;
}

}  // namespace

std::vector<Window> EvaluationWindows(const Moments& moments) { return WindowsUnder(kEvaluationTokens, moments); }
std::vector<Window> SearchWindows(const Moments& moments) { return WindowsUnder(kSearchTokens, moments); }

}  // namespace nashswarm::calibrate
