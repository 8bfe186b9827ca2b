#include "server/rpc/status.h"

#include <string>

#include "core/base/utf8.h"
#include "server/store/error_proto.h"

namespace nashswarm::server {
namespace {

// Messages travel percent-encoded in a header; clients refuse header lists above 8 KiB.
constexpr size_t kMaxMessageBytes = 1500;

std::string Shorten(const std::string& text) {
  if (text.size() <= kMaxMessageBytes) return text;
  return std::string(Beginning(text, kMaxMessageBytes)).append("...");
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  v1::Error error = ToErrorProto(status);
  error.set_message(Shorten(error.message()));
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), error.message(), error.SerializeAsString());
}

}  // namespace nashswarm::server
