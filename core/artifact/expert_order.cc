#include "core/artifact/expert_order.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "core/base/status.h"
#include "core/expert_cache/expert_order.h"

namespace nashswarm::artifact {
namespace {

absl::Status Invalid(size_t layer, const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, "EXPERT_ORDER_INVALID",
                   absl::StrCat(what, ": its order of the experts of layer ", layer, " does not have each once"),
                   "the file is damaged: copy, download or compress it again");
}

absl::Status Add(std::vector<uint32_t> order, const std::string& what, ExpertOrders* orders) {
  if (!expert_cache::ValidateOrder(order, static_cast<uint32_t>(order.size())).ok()) return Invalid(orders->size(), what);
  orders->push_back(std::move(order));
  return absl::OkStatus();
}

}  // namespace

void AppendExpertOrders(const ExpertOrders& orders, std::vector<checkpoint::GgufMetadata>* metadata) {
  for (size_t layer = 0; layer < orders.size(); ++layer) {
    metadata->push_back({absl::StrCat(kExpertOrder, ".", layer),
                         checkpoint::GgufValue::I32s({orders[layer].begin(), orders[layer].end()})});
  }
}

std::map<std::string, std::string> WithExpertOrders(std::map<std::string, std::string> metadata, const ExpertOrders& orders) {
  if (!orders.empty()) metadata[kExpertOrder] = Json(orders).dump();
  return metadata;
}

absl::StatusOr<ExpertOrders> ExpertOrdersOf(const checkpoint::GgufFile& file, const std::string& what) {
  ExpertOrders orders;
  while (const checkpoint::GgufValue* value = file.Find(absl::StrCat(kExpertOrder, ".", orders.size()))) {
    const auto* experts = std::get_if<std::vector<int64_t>>(&value->data);
    if (experts == nullptr) return Invalid(orders.size(), what);
    std::vector<uint32_t> order;
    // What does not fit is no expert either.
    for (const int64_t expert : *experts) order.push_back(expert < 0 || expert > INT32_MAX ? UINT32_MAX : static_cast<uint32_t>(expert));
    NS_RETURN_IF_ERROR(Add(std::move(order), what, &orders));
  }
  return orders;
}

absl::StatusOr<ExpertOrders> ExpertOrdersOf(const Json& json, const std::string& what) {
  ExpertOrders orders;
  if (json.is_null()) return orders;
  if (!json.is_array()) return Invalid(0, what);
  for (const Json& layer : json) {
    if (!layer.is_array()) return Invalid(orders.size(), what);
    std::vector<uint32_t> order;
    for (const Json& expert : layer) {
      const bool fits = expert.is_number_unsigned() && expert.get<uint64_t>() < UINT32_MAX;
      order.push_back(fits ? expert.get<uint32_t>() : UINT32_MAX);
    }
    NS_RETURN_IF_ERROR(Add(std::move(order), what, &orders));
  }
  return orders;
}

}  // namespace nashswarm::artifact
