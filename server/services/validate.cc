#include "server/services/validate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_join.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/tensor_pattern.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "re2/re2.h"
#include "server/stages/job_spec.h"

namespace nashswarm::server {
namespace {

constexpr size_t kMaxIdBytes = 63;
constexpr int kMaxLabels = 64;
constexpr size_t kMaxLabelKey = 63, kMaxLabelValue = 255;
constexpr int kMaxRules = 256;
// Of a list of files in an answer; a file takes its path and this: digest, sizes, tags.
constexpr size_t kMaxNamesBytes = 3 << 20, kFileOverhead = 80;
constexpr int kMaxThreads = 1024;
// Beyond these a "bound on the quality" bounds nothing.
constexpr double kMaxPplIncrease = 10, kMaxKl = 100;
// A window must hold something to predict from; the upper end is beyond every model's.
constexpr int kMinContext = 8, kMaxContext = 1 << 20;
// Ends of what anybody would wait for. A context round is a task of its own: see kMaxSearchRounds.
constexpr int kMaxContextRounds = 16, kMaxSwarmEvaluations = 100000;
constexpr int kMaxSwarmSeconds = 24 * 3600;

absl::Status Invalid(std::string_view reason, const std::string& message, std::string_view hint = {}) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message, hint);
}

// Names end up in messages and logs.
std::string Shown(const std::string& text) { return text.substr(0, 100); }

bool IsIdChar(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; }

bool IsId(std::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && std::all_of(id.begin(), id.end(), IsIdChar);
}

absl::Status ValidateRule(const EngineDescription& engine, v1::CompressionSpec::TensorRule* rule) {
  NS_RETURN_IF_ERROR(TensorPattern::Compile(rule->pattern()).status());
  if (rule->format() == "keep") return absl::OkStatus();
  const EngineDescription::NumberFormat* format = engine.FindNumberFormat(rule->format());
  if (format == nullptr) {
    return Invalid("UNKNOWN_FORMAT", absl::StrCat("there is no tensor format '", Shown(rule->format()), "'"),
                   "list them with: nashswarm schemes");
  }
  rule->set_format(format->name);
  return absl::OkStatus();
}

absl::Status CheckBound(const char* name, double value, double most, std::string_view hint) {
  if (std::isfinite(value) && value > 0 && value <= most) return absl::OkStatus();
  return Invalid("BAD_TARGET", absl::StrCat(name, " is ", value, ", not in (0, ", most, "]"), hint);
}

absl::Status ValidateTarget(const v1::CompressionSpec& spec) {
  switch (spec.target_case()) {
    case v1::CompressionSpec::kBitsPerWeight:
      if (std::isfinite(spec.bits_per_weight()) && spec.bits_per_weight() > 0 && spec.bits_per_weight() <= 32) {
        return absl::OkStatus();
      }
      return Invalid("BAD_TARGET", absl::StrCat("bits_per_weight is ", spec.bits_per_weight(), ", not in (0, 32]"));
    case v1::CompressionSpec::kSizeBytes:
      if (spec.size_bytes() > 0) return absl::OkStatus();
      return Invalid("BAD_TARGET", absl::StrCat("size_bytes is ", spec.size_bytes(), ", not positive"));
    case v1::CompressionSpec::kRatio:
      if (spec.ratio() > 0 && spec.ratio() < 1) return absl::OkStatus();
      return Invalid("BAD_TARGET", absl::StrCat("ratio is ", spec.ratio(), ", not in (0, 1)"),
                     "0.9 means a tenth of the FP32 size");
    case v1::CompressionSpec::kMaxPplIncrease:
      return CheckBound("max_ppl_increase", spec.max_ppl_increase(), kMaxPplIncrease, "0.02 means 2 % more perplexity");
    case v1::CompressionSpec::kMaxKl:
      return CheckBound("max_kl", spec.max_kl(), kMaxKl, "it is in nats a token; 0.01 is hard to notice");
    case v1::CompressionSpec::TARGET_NOT_SET:
      break;
  }
  return Invalid("NO_TARGET", "the spec has no target",
                 "set one of bits_per_weight, size_bytes, ratio, max_ppl_increase, max_kl");
}

absl::Status ValidateTokens(const char* what, int64_t tokens) {
  if (tokens >= 0) return absl::OkStatus();
  return Invalid("BAD_TOKENS", absl::StrCat(what, ".tokens is ", tokens, ", which is negative"),
                 "0 means the engine's default");
}

absl::Status ValidateCalibration(const v1::Calibration& calibration) {
  const auto source = calibration.source_case();
  if (source == v1::Calibration::SOURCE_NOT_SET || (calibration.has_self() && !calibration.self())) {
    return Invalid("NO_CALIBRATION_SOURCE", "the calibration has no source",
                   "set one of text, self, imatrix (nashswarm: --calibrate FILE, --calibrate self, --imatrix FILE)");
  }
  return ValidateTokens("calibration", calibration.tokens());
}

absl::Status ValidateEvaluation(const v1::Evaluation& evaluation) {
  const int context = evaluation.context();
  if (context != 0 && (context < kMinContext || context > kMaxContext)) {
    return Invalid("BAD_CONTEXT", absl::StrCat("evaluation.context is ", context, ", neither 0 nor ", kMinContext,
                                               " to ", kMaxContext),
                   "0 means the engine's default");
  }
  return ValidateTokens("evaluation", evaluation.tokens());
}

absl::Status ValidateSearchLimits(const v1::Search& search) {
  if (search.context_rounds() < 0 || search.context_rounds() > kMaxContextRounds) {
    return Invalid("BAD_SEARCH", absl::StrCat("search.context_rounds is ", search.context_rounds(), ", not 0 to ",
                                              kMaxContextRounds),
                   "two or three rounds find nearly all there is to find");
  }
  if (search.swarm_evaluations() < 0 || search.swarm_evaluations() > kMaxSwarmEvaluations) {
    return Invalid("BAD_SEARCH", absl::StrCat("search.swarm_evaluations is ", search.swarm_evaluations(), ", not 0 to ",
                                              kMaxSwarmEvaluations),
                   "each is a plan that is encoded and measured; 0 means no swarm");
  }
  if (!(search.swarm_seconds() >= 0 && search.swarm_seconds() <= kMaxSwarmSeconds)) {
    return Invalid("BAD_SEARCH", absl::StrCat("search.swarm_seconds is ", search.swarm_seconds(), ", not 0 to ",
                                              kMaxSwarmSeconds),
                   "0 means no limit in time");
  }
  return absl::OkStatus();
}

absl::Status ValidateSearch(const v1::CompressionSpec& spec) {
  if (!spec.has_search()) return absl::OkStatus();
  const v1::Search& search = spec.search();
  NS_RETURN_IF_ERROR(ValidateSearchLimits(search));
  if (search.off()) {
    if (search.context_rounds() == 0 && search.swarm_evaluations() == 0 && search.swarm_seconds() == 0) {
      return absl::OkStatus();
    }
    return Invalid("BAD_SEARCH", "the search is off and has rounds, evaluations or seconds", "set either");
  }
  if (HasCalibrationText(spec)) return absl::OkStatus();
  return Invalid("NO_SEARCH_TEXT", "a search needs a text to try plans on, and the spec calibrates on none",
                 "add one: --calibrate FILE or --calibrate self; an evaluation text must stay unseen");
}

absl::Status ValidateExpertOrder(const v1::CompressionSpec& spec) {
  if (!v1::CompressionSpec::ExpertOrder_IsValid(spec.expert_order())) {
    return Invalid("BAD_EXPERT_ORDER",
                   absl::StrCat("expert_order is ", spec.expert_order(), ", which this server does not know"),
                   "use ORIGINAL or TOGETHER (nashswarm: --expert-order original or together)");
  }
  if (spec.expert_order() != v1::CompressionSpec::TOGETHER || HasCalibrationText(spec)) return absl::OkStatus();
  return Invalid("NO_EXPERT_ORDER_TEXT",
                 "the expert order 'together' needs a text that shows which experts are used together, and the spec "
                 "calibrates on none",
                 "add one: --calibrate FILE or --calibrate self; an importance matrix does not say");
}

absl::Status ValidateModelName(const std::string& name) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (name.size() <= kMaxModelName && std::none_of(name.begin(), name.end(), is_control)) return absl::OkStatus();
  return Invalid("BAD_MODEL_NAME", absl::StrCat("model_name must have at most ", kMaxModelName, " bytes, and no control characters"),
                 "name the model as people know it: ORG/NAME or NAME");
}

absl::Status ValidateMeasuring(const v1::CompressionSpec& spec) {
  if (spec.has_calibration()) NS_RETURN_IF_ERROR(ValidateCalibration(spec.calibration()));
  if (spec.has_evaluation()) NS_RETURN_IF_ERROR(ValidateEvaluation(spec.evaluation()));
  for (const DataReference& reference : DataReferences(spec)) {
    NS_RETURN_IF_ERROR(ParseName("models", reference.model).status());
  }
  if ((!HasQualityTarget(spec) && !spec.has_evaluation()) || Evaluates(spec)) return absl::OkStatus();
  return Invalid("NO_EVALUATION_TEXT",
                 absl::StrCat(HasQualityTarget(spec) ? "a quality target" : "an evaluation",
                              " needs a text to measure on, and the spec has none"),
                 "name one: --evaluate FILE, or --calibrate FILE or self, part of which is held out for it");
}

absl::Status ValidateArtifactFormat(const EngineDescription& engine, v1::CompressionSpec* spec) {
  const std::vector<std::string>& kinds = engine.artifact_kinds;
  if (spec->artifact_format().empty()) spec->set_artifact_format(kinds.front());
  if (std::find(kinds.begin(), kinds.end(), spec->artifact_format()) != kinds.end()) return absl::OkStatus();
  return Invalid("UNKNOWN_ARTIFACT_FORMAT",
                 absl::StrCat("there is no artifact format '", Shown(spec->artifact_format()), "'"),
                 absl::StrCat("use one of: ", absl::StrJoin(kinds, ", ")));
}

absl::Status ValidateDataUpload(const v1::CreateUploadRequest& request) {
  if (request.files_size() != 1) {
    return Invalid("NOT_ONE_FILE", absl::StrCat("data is one file, not ", request.files_size()),
                   "upload each file by itself");
  }
  const int64_t size = request.files(0).digest().size_bytes();
  if (size == 0) return Invalid("EMPTY_FILE", absl::StrCat("'", request.files(0).path(), "' is empty"));
  if (size <= kMaxDataBytes) return absl::OkStatus();
  return Invalid("FILE_TOO_LARGE",
                 absl::StrCat("'", request.files(0).path(), "' has ", size, " bytes; a data file has at most ",
                              kMaxDataBytes),
                 "cut the text: a few megabytes are more than a calibration reads");
}

// Whoever asks for the upload or the model gets all of its files in one message, and gRPC's clients take 4 MiB.
absl::Status ValidateNamesFit(const v1::CreateUploadRequest& request) {
  size_t bytes = 0;
  for (const v1::FileEntry& file : request.files()) bytes += file.path().size() + kFileOverhead;
  if (bytes <= kMaxNamesBytes) return absl::OkStatus();
  return Invalid("TOO_MANY_FILES",
                 absl::StrCat("the list of ", request.files_size(), " files takes ", bytes, " bytes; at most ", kMaxNamesBytes,
                              " are allowed"),
                 "use shorter paths or fewer files");
}

}  // namespace

absl::StatusOr<std::string> ParseName(std::string_view collection, const std::string& name) {
  const std::string prefix = absl::StrCat(ToAbsl(collection), "/");
  if (name.starts_with(prefix) && IsId(std::string_view(name).substr(prefix.size()))) {
    return name.substr(prefix.size());
  }
  return Invalid("BAD_NAME", absl::StrCat("'", Shown(name), "' is not a name of the form ", prefix, "{id}"));
}

absl::Status ValidateModelId(const std::string& id) {
  if (id.empty()) return absl::OkStatus();
  if (IsId(id) && id.front() >= 'a' && id.back() != '-') return absl::OkStatus();
  return Invalid("BAD_MODEL_ID", absl::StrCat("'", Shown(id), "' is not a model id"),
                 "use 1 to 63 of a-z, 0-9 and '-', beginning with a letter and not ending with '-'");
}

absl::Status ValidateRequestId(const std::string& id) {
  if (id.empty()) return absl::OkStatus();
  static const RE2 kUuid("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}");
  if (RE2::FullMatch(id, kUuid)) return absl::OkStatus();
  return Invalid("BAD_REQUEST_ID", absl::StrCat("request_id '", Shown(id), "' is not a UUID"),
                 "send a UUID such as 123e4567-e89b-42d3-a456-426614174000, or nothing");
}

absl::Status ValidateLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  if (labels.size() > kMaxLabels) {
    return Invalid("BAD_LABELS", absl::StrCat(labels.size(), " labels; at most ", kMaxLabels, " are allowed"));
  }
  for (const auto& [key, value] : labels) {
    if (!key.empty() && key.size() <= kMaxLabelKey && value.size() <= kMaxLabelValue) continue;
    return Invalid("BAD_LABELS", absl::StrCat("label '", Shown(key), "' is too long or has no key"),
                   absl::StrCat("keys have 1 to ", kMaxLabelKey, " bytes, values up to ", kMaxLabelValue));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Model::Kind> ValidateUploadKind(const v1::CreateUploadRequest& request) {
  switch (request.kind()) {
    case v1::Model::KIND_UNSPECIFIED:
    case v1::Model::CHECKPOINT:
      return v1::Model::CHECKPOINT;
    case v1::Model::DATA:
      NS_RETURN_IF_ERROR(ValidateDataUpload(request));
      return v1::Model::DATA;
    default:
      return Invalid("BAD_KIND", absl::StrCat("there is no kind of model ", static_cast<int>(request.kind())));
  }
}

absl::Status ValidateUploadFiles(const v1::CreateUploadRequest& request, const Limits& limits) {
  if (request.files().empty()) return Invalid("NO_FILES", "an upload needs at least one file");
  if (request.files_size() > limits.max_files_per_upload) {
    return Invalid("TOO_MANY_FILES", absl::StrCat(request.files_size(), " files; at most ",
                                                  limits.max_files_per_upload, " are allowed"));
  }
  NS_RETURN_IF_ERROR(ValidateNamesFit(request));
  std::set<std::string> paths;
  uint64_t total = 0;
  for (const v1::FileEntry& file : request.files()) {
    NS_RETURN_IF_ERROR(ValidateRelativePath(file.path()));
    const int64_t size = file.digest().size_bytes();
    if (!file.has_digest() || size < 0) {
      return Invalid("BAD_SIZE", absl::StrCat("'", file.path(), "' has no size"), "set digest.size_bytes of every file");
    }
    if (size > limits.max_file_bytes) {
      return Invalid("FILE_TOO_LARGE", absl::StrCat("'", file.path(), "' has ", size, " bytes; at most ",
                                                    limits.max_file_bytes, " are allowed"));
    }
    const auto sum = CheckedAdd(total, static_cast<uint64_t>(size));
    total = sum.value_or(UINT64_MAX);
    if (total > static_cast<uint64_t>(limits.max_upload_bytes)) {
      return Invalid("UPLOAD_TOO_LARGE", absl::StrCat("more than ", limits.max_upload_bytes, " bytes in one upload"));
    }
    if (const size_t length = file.digest().sha256().size(); length != 0 && length != 32) {
      return Invalid("BAD_DIGEST", absl::StrCat("'", file.path(), "': a SHA-256 has 32 bytes, not ", length));
    }
    if (!paths.insert(file.path()).second) {
      return Invalid("DUPLICATE_PATH", absl::StrCat("'", file.path(), "' is named twice"));
    }
  }
  for (const std::string& path : paths) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      if (!paths.contains(path.substr(0, slash))) continue;
      return Invalid("PATH_CONFLICT", absl::StrCat("'", path.substr(0, slash), "' is a file and a directory"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateSpec(const EngineDescription& engine, v1::CompressionSpec* spec) {
  NS_RETURN_IF_ERROR(ValidateTarget(*spec));
  NS_RETURN_IF_ERROR(ValidateArtifactFormat(engine, spec));
  if (spec->threads() < 0 || spec->threads() > kMaxThreads) {
    return Invalid("BAD_THREADS", absl::StrCat("threads is ", spec->threads(), ", not 0 to ", kMaxThreads));
  }
  if (spec->rules_size() > kMaxRules) {
    return Invalid("TOO_MANY_RULES", absl::StrCat(spec->rules_size(), " rules; at most ", kMaxRules, " are allowed"));
  }
  for (auto& rule : *spec->mutable_rules()) NS_RETURN_IF_ERROR(ValidateRule(engine, &rule));
  NS_RETURN_IF_ERROR(ValidateModelName(spec->model_name()));
  NS_RETURN_IF_ERROR(ValidateMeasuring(*spec));
  NS_RETURN_IF_ERROR(ValidateExpertOrder(*spec));
  return ValidateSearch(*spec);
}

absl::Status ValidatePriority(int priority) {
  if (priority >= 0 && priority <= 9) return absl::OkStatus();
  return Invalid("BAD_PRIORITY", absl::StrCat("priority is ", priority, ", not 0 (most urgent) to 9"));
}

std::string ModelNameOfLabel(const std::string& label) {
  size_t end = std::min(label.size(), kMaxModelName);
  // A string of proto3 is UTF-8: half a code point, and nobody could read the job, nor the list it is in.
  while (end > 0 && end < label.size() && (static_cast<unsigned char>(label[end]) & 0xc0) == 0x80) --end;
  const std::string name = label.substr(0, end);
  return ValidateModelName(name).ok() ? name : "";
}

std::string RequestDigest(const google::protobuf::Message& request) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  return Sha256Of(bytes);
}

Labels ToLabels(const google::protobuf::Map<std::string, std::string>& labels) {
  return Labels(labels.begin(), labels.end());
}

}  // namespace nashswarm::server
