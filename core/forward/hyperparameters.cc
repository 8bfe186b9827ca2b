#include "core/forward/hyperparameters.h"

#include <cmath>
#include <optional>
#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"

namespace nashswarm::forward {
namespace {

using checkpoint::GgufValue;

std::optional<uint64_t> Whole(const GgufValue& value) {
  if (const auto* number = std::get_if<uint64_t>(&value.data)) return *number;
  const auto* number = std::get_if<int64_t>(&value.data);
  if (number != nullptr && *number >= 0) return static_cast<uint64_t>(*number);
  return std::nullopt;
}

}  // namespace

uint64_t Hyperparameters::CountOr(std::string_view key, uint64_t fallback) {
  const GgufValue* value = weights_.Hyperparameter(key);
  if (value == nullptr) return fallback;
  const auto number = Whole(*value);
  if (!number.has_value() || *number < 1 || *number > kMaxExtent) {
    Fail(absl::StrCat("'", ToAbsl(key), "' is not a whole number from 1 to 2^31"));
    return 1;
  }
  return *number;
}

uint64_t Hyperparameters::Count(std::string_view key) {
  if (!Has(key)) Fail(absl::StrCat("has no '", ToAbsl(key), "'"));
  return CountOr(key, 1);
}

double Hyperparameters::RealOr(std::string_view key, double fallback) {
  const GgufValue* value = weights_.Hyperparameter(key);
  if (value == nullptr) return fallback;
  const double* number = std::get_if<double>(&value->data);
  if (number == nullptr || !std::isfinite(*number) || *number <= 0) {
    Fail(absl::StrCat("'", ToAbsl(key), "' is not a positive number"));
    return 1;
  }
  return *number;
}

double Hyperparameters::Real(std::string_view key) {
  if (!Has(key)) Fail(absl::StrCat("has no '", ToAbsl(key), "'"));
  return RealOr(key, 1);
}

std::string Hyperparameters::Text(std::string_view key) {
  const GgufValue* value = weights_.Hyperparameter(key);
  if (value == nullptr) return {};
  const std::string* text = std::get_if<std::string>(&value->data);
  if (text == nullptr) Fail(absl::StrCat("'", ToAbsl(key), "' is no text"));
  return text == nullptr ? std::string() : *text;
}

bool Hyperparameters::Flag(std::string_view key, bool fallback) const {
  const GgufValue* value = weights_.Hyperparameter(key);
  const bool* flag = value == nullptr ? nullptr : std::get_if<bool>(&value->data);
  return flag == nullptr ? fallback : *flag;
}

std::vector<bool> Hyperparameters::AllButEvery(std::string_view key, uint64_t layers, uint64_t period) {
  if (const GgufValue* value = weights_.Hyperparameter(key); value != nullptr) {
    if (const auto* list = std::get_if<std::vector<bool>>(&value->data)) {
      if (list->size() != layers) Fail(absl::StrCat("'", ToAbsl(key), "' is not one value a layer"));
      return *list;
    }
    period = CountOr(key, 1);
  }
  if (period == 0) return {};
  std::vector<bool> out(layers);
  for (uint64_t layer = 0; layer < layers; ++layer) out[layer] = layer % period != period - 1;
  return out;
}

void Hyperparameters::Fail(const std::string& what) {
  if (!status_.ok()) return;
  status_ = MakeError(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID",
                      absl::StrCat(weights_.name(), ": hyperparameters of '", weights_.architecture(), "': ", what),
                      "the file is damaged, or was made for another program");
}

}  // namespace nashswarm::forward
