// In which order the experts of each layer lie in an artifact, where that is another than the checkpoint's, and how a file says
// so. The numbers in the names of an artifact's tensors, and the rows of its routers, are places.
//   GGUF: metadata "nashswarm.expert_order.N" of layer N, an array of integers.
//   nsq: config.json, "expert_order" in quantization_config: an array of arrays, by layer. What is unpacked from it has the same
//   as text in the metadata of model.safetensors, under "nashswarm.expert_order"; so have tensors decoded from GGUF.
#ifndef NASHSWARM_CORE_ARTIFACT_EXPERT_ORDER_H_
#define NASHSWARM_CORE_ARTIFACT_EXPERT_ORDER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/json.h"
#include "core/checkpoint/gguf.h"

namespace nashswarm::artifact {

inline constexpr char kExpertOrder[] = "nashswarm.expert_order";  // of GGUF with ".N" behind it
inline constexpr char kNsqExpertOrder[] = "expert_order";

// By layer, the checkpoint's expert at each place: orders[layer][place]. Empty: as in the checkpoint.
using ExpertOrders = std::vector<std::vector<uint32_t>>;

// Nothing for no orders. As many bytes in whatever order.
void AppendExpertOrders(const ExpertOrders& orders, std::vector<checkpoint::GgufMetadata>* metadata);
// The metadata of a safetensors file: nothing for no orders.
std::map<std::string, std::string> WithExpertOrders(std::map<std::string, std::string> metadata, const ExpertOrders& orders);

// Empty when the file says nothing of an order. DATA_LOSS / EXPERT_ORDER_INVALID unless each order has every expert of its
// layer once, of layers from 0 on.
absl::StatusOr<ExpertOrders> ExpertOrdersOf(const checkpoint::GgufFile& file, const std::string& what);
// `json`: null, or an array of arrays.
absl::StatusOr<ExpertOrders> ExpertOrdersOf(const Json& json, const std::string& what);

}  // namespace nashswarm::artifact

#endif  // NASHSWARM_CORE_ARTIFACT_EXPERT_ORDER_H_
