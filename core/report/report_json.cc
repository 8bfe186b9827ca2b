#include "core/report/report_json.h"

#include <limits>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/report/json_writer.h"

namespace nashswarm::report {

// The fields of every structure, once, for the writer and the reader.
template <typename V, typename T>
void Fields(V& v, T& quality) requires std::is_same_v<std::remove_const_t<T>, Quality> {
  v("perplexity", quality.perplexity);
  v("perplexity_change", quality.perplexity_change);
  v.If(quality.perplexity_change_stderr > 0, "perplexity_change_stderr", quality.perplexity_change_stderr);
  v("mean_kl", quality.mean_kl);
  v("mean_kl_stderr", quality.mean_kl_stderr);
  v("p99_kl", quality.p99_kl);
  v("same_top1", quality.same_top1);
  v("tokens", quality.tokens);
}

template <typename V, typename T>
void Fields(V& v, T& row) requires std::is_same_v<std::remove_const_t<T>, Row> {
  v("name", row.name);
  v.If(!row.note.empty(), "note", row.note);
  v("is_artifact", row.is_artifact);
  v("bytes", row.bytes);
  v("bits_per_weight", row.bits_per_weight);
  v("ratio_fp32", row.ratio_fp32);
  v("ratio_source", row.ratio_source);
  v("predicted_loss", row.predicted_loss);
  v("quality", row.quality);
}

template <typename V, typename T>
void Fields(V& v, T& tensor) requires std::is_same_v<std::remove_const_t<T>, TensorRow> {
  v("name", tensor.name);
  v("role", tensor.role);
  v("layer", tensor.layer);
  v("weights", tensor.weights);
  v("format", tensor.format);
  v("bits_per_weight", tensor.bits_per_weight);
  v("relative_error", tensor.relative_error);
  v("predicted_loss", tensor.predicted_loss);
  v("vector", tensor.vector);
}

template <typename V, typename T>
void Fields(V& v, T& point) requires std::is_same_v<std::remove_const_t<T>, FrontierPoint> {
  v("bytes", point.bytes);
  v("bits_per_weight", point.bits_per_weight);
  v("predicted_loss", point.predicted_loss);
}

template <typename V, typename T>
void Fields(V& v, T& trial) requires std::is_same_v<std::remove_const_t<T>, Trial> {
  v("bytes", trial.bytes);
  v("bits_per_weight", trial.bits_per_weight);
  v("predicted_loss", trial.predicted_loss);
  v("mean_kl", trial.mean_kl);
  v("perplexity", trial.perplexity);
  v("perplexity_change", trial.perplexity_change);
  v("passed", trial.passed);
}

template <typename V, typename T>
void Fields(V& v, T& step) requires std::is_same_v<std::remove_const_t<T>, SearchStep> {
  v("round", step.round);
  v("step", step.step);
  v("plans", step.plans);
  v("tried_kl", step.tried_kl);
  v("mean_kl", step.mean_kl);
  v("kept", step.kept);
}

template <typename V, typename T>
void Fields(V& v, T& variant) requires std::is_same_v<std::remove_const_t<T>, SearchVariant> {
  v("name", variant.name);
  v("bytes", variant.bytes);
  v("bits_per_weight", variant.bits_per_weight);
  v("mean_kl", variant.mean_kl);
}

template <typename V, typename T>
void Fields(V& v, T& search) requires std::is_same_v<std::remove_const_t<T>, SearchReport> {
  v("text", search.text);
  v("tokens", search.tokens);
  v("trace", search.trace);
  v("ablation", search.ablation);
}

template <typename V, typename T>
void Fields(V& v, T& layer) requires std::is_same_v<std::remove_const_t<T>, ExpertLayer> {
  v("layer", layer.layer);
  v("tokens", layer.tokens);
  v("bits_per_weight", layer.bits);
  v.If(!layer.order.empty(), "order", layer.order);
}

template <typename V, typename T>
void Fields(V& v, T& experts) requires std::is_same_v<std::remove_const_t<T>, ExpertsReport> {
  v("used", experts.used);
  v("layers", experts.layers);
}

template <typename V, typename T>
void Fields(V& v, T& step) requires std::is_same_v<std::remove_const_t<T>, PriceStep> {
  v("price", step.price);
  v("bytes", step.bytes);
  v("loss", step.loss);
}

template <typename V, typename T>
void Fields(V& v, T& text) requires std::is_same_v<std::remove_const_t<T>, TextUsed> {
  v("purpose", text.purpose);
  v("source", text.source);
  v("sha256", text.sha256);
  v.Known("bytes", text.bytes);
  v.Known("tokens", text.tokens);
  v.Known("context", text.context);
  v("note", text.note);
}

template <typename V, typename T>
void Fields(V& v, T& cost) requires std::is_same_v<std::remove_const_t<T>, StageCost> {
  v("stage", cost.stage);
  v("tasks", cost.tasks);
  v("seconds", cost.seconds);
  v.Known("peak_bytes", cost.peak_bytes);
}

template <typename V, typename T>
void Fields(V& v, T& file) requires std::is_same_v<std::remove_const_t<T>, ArtifactFile> {
  v("name", file.name);
  v("bytes", file.bytes);
  v("sha256", file.sha256);
}

template <typename V, typename T>
void Fields(V& v, T& memory) requires std::is_same_v<std::remove_const_t<T>, Memory> {
  v("weight_bytes", memory.weight_bytes);
  v("cache_bytes", memory.cache_bytes);
  v("context", memory.context);
}

template <typename V, typename T>
void Fields(V& v, T& report) requires std::is_same_v<std::remove_const_t<T>, Report> {
  v("engine", report.engine);
  v.If(!report.made.empty(), "made", report.made);
  v.If(!report.cpu.empty(), "cpu", report.cpu);
  v.If(!report.command.empty(), "command", report.command);
  v("model_name", report.model_name);
  v("architecture", report.architecture);
  v("source_digest", report.source_digest);
  v("parameters", report.parameters);
  v("target", report.target);
  v("plan_summary", report.plan_summary);
  v.If(!report.plan_in_words.empty(), "plan_in_words", report.plan_in_words);
  v("artifact", report.artifact);
  v("memory", report.memory);
  v("headline", report.headline);
  v("loss_is_kl", report.loss_is_kl);
  v.Known("chosen_bytes", report.chosen_bytes);
  v.If(report.chosen_bytes > 0, "chosen_predicted_loss", report.chosen_predicted_loss);
  v("frontier", report.frontier);
  v("trials", report.trials);
  v("search", report.search);
  v("experts", report.experts);
  v("price_path", report.price_path);
  v("tensors", report.tensors);
  v("texts", report.texts);
  v("costs", report.costs);
  v("warnings", report.warnings);
}

namespace {

// Keeps the first error; reads on without using what was wrong.
class Reader {
 public:
  Reader(const Json& in, std::string path, absl::Status* status) : in_(in), path_(std::move(path)), status_(*status) {}

  template <typename T>
  void operator()(const char* key, T& value) {
    const auto it = in_.find(key);
    if (it != in_.end()) Read(*it, path_.empty() ? key : absl::StrCat(path_, ".", key), value);
  }
  template <typename T>
  void Known(const char* key, T& value) {
    (*this)(key, value);
  }
  template <typename T>
  void If(bool, const char* key, T& value) {
    (*this)(key, value);
  }

 private:
  template <typename T>
  void Read(const Json& in, const std::string& path, std::optional<T>& value) {
    Read(in, path, value.emplace());
  }
  template <typename T>
  void Read(const Json& in, const std::string& path, std::vector<T>& list) {
    if (!in.is_array()) return Wrong(path, "an array");
    for (const Json& element : in) {
      const std::string at = absl::StrCat(path, "[", list.size(), "]");
      Read(element, at, list.emplace_back());
    }
  }
  template <typename T>
  void Read(const Json& in, const std::string& path, T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      in.is_string() ? value = in.get<std::string>() : (Wrong(path, "a string"), value);
    } else if constexpr (std::is_same_v<T, bool>) {
      in.is_boolean() ? value = in.get<bool>() : (Wrong(path, "true or false"), value);
    } else if constexpr (std::is_same_v<T, double>) {
      in.is_number() ? value = in.get<double>() : (Wrong(path, "a number"), value);
    } else if constexpr (std::is_same_v<T, uint64_t>) {
      in.is_number_unsigned() ? value = in.get<uint64_t>() : (Wrong(path, "a whole number from 0"), value);
    } else if constexpr (std::is_same_v<T, int>) {
      const auto fits = [](int64_t n) { return n >= std::numeric_limits<int>::min() && n <= std::numeric_limits<int>::max(); };
      const bool whole = in.is_number_unsigned() ? in.get<uint64_t>() <= std::numeric_limits<int>::max()
                                                 : in.is_number_integer() && fits(in.get<int64_t>());
      whole ? value = in.get<int>() : (Wrong(path, "a whole number of 32 bits"), value);
    } else {
      if (!in.is_object()) return Wrong(path, "an object");
      Reader reader(in, path, &status_);
      Fields(reader, value);
    }
  }
  void Wrong(const std::string& path, std::string_view expected) {
    if (!status_.ok()) return;
    status_ = MakeError(absl::StatusCode::kInvalidArgument, "REPORT_FIELD",
                        absl::StrCat("report: '", path, "' is not ", ToAbsl(expected)));
  }

  const Json& in_;
  const std::string path_;
  absl::Status& status_;
};

}  // namespace

OrderedJson ToJson(const Report& report) {
  OrderedJson out = OrderedJson::object();
  out["schema"] = kSchema;
  JsonWriter writer(&out);
  Fields(writer, report);
  return out;
}

absl::StatusOr<Report> FromJson(const Json& json) {
  if (const std::string schema = JsonString(json, "schema"); schema != kSchema) {
    return MakeError(absl::StatusCode::kInvalidArgument, "REPORT_SCHEMA",
                     absl::StrCat("report: schema is '", schema.substr(0, 100), "', not '", kSchema, "'"));
  }
  Report report;
  absl::Status status;
  Reader reader(json, "", &status);
  Fields(reader, report);
  if (!status.ok()) return status;
  return report;
}

}  // namespace nashswarm::report
