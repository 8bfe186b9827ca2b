#include "server/store/error_proto.h"

#include "absl/strings/cord.h"
#include "absl/strings/strip.h"
#include "core/base/status.h"
#include "core/base/utf8.h"

namespace nashswarm::server {
namespace {

constexpr char kMetadataPrefix[] = "nashswarm/metadata/";
// The API's ErrorInfo is wire-compatible with this type, which every gRPC tool knows how to print.
constexpr char kErrorInfoType[] = "type.googleapis.com/google.rpc.ErrorInfo";

}  // namespace

absl::Status WithMetadata(absl::Status status, std::string_view key, const std::string& value) {
  status.SetPayload(absl::StrCat(kMetadataPrefix, ToAbsl(key)), absl::Cord(value));
  return status;
}

// Messages quote what came from outside, sometimes the first bytes of it. A string of proto3 must be UTF-8: with anything else
// in it a client could read neither the error nor the job that carries it.
v1::Error ToErrorProto(const absl::Status& status) {
  v1::ErrorInfo info;
  const std::string reason = ReasonOf(status);
  info.set_reason(reason.empty() ? absl::StatusCodeToString(status.code()) : ValidUtf8(reason));
  info.set_domain("nashswarm");
  if (const std::string hint = HintOf(status); !hint.empty()) (*info.mutable_metadata())["hint"] = ValidUtf8(hint);
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& value) {
    if (absl::ConsumePrefix(&key, kMetadataPrefix)) (*info.mutable_metadata())[std::string(key)] = ValidUtf8(std::string(value));
  });
  v1::Error error;
  error.set_code(static_cast<int>(status.code()));
  error.set_message(ValidUtf8(ToStd(status.message())));
  google::protobuf::Any* detail = error.add_details();
  detail->set_type_url(kErrorInfoType);
  detail->set_value(info.SerializeAsString());
  return error;
}

}  // namespace nashswarm::server
