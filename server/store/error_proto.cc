#include "server/store/error_proto.h"

#include "absl/strings/cord.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/utf8.h"

namespace nashswarm::server {
namespace {

constexpr char kMetadataPrefix[] = "nashswarm/metadata/";
// The API's ErrorInfo is wire-compatible with this type, which every gRPC tool knows how to print.
constexpr char kErrorInfoType[] = "type.googleapis.com/google.rpc.ErrorInfo";

std::vector<std::string>& HiddenDirectories() {
  static auto* directories = new std::vector<std::string>;
  return *directories;
}

std::string ForClients(std::string text) {
  for (const std::string& directory : HiddenDirectories()) text = WithoutDirectory(text, directory, "the server's data directory");
  return ValidUtf8(text);
}

}  // namespace

void HideDirectories(std::vector<std::string> directories) { HiddenDirectories() = std::move(directories); }

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
  if (const std::string hint = HintOf(status); !hint.empty()) (*info.mutable_metadata())["hint"] = ForClients(hint);
  status.ForEachPayload([&](absl::string_view key, const absl::Cord& value) {
    if (absl::ConsumePrefix(&key, kMetadataPrefix)) (*info.mutable_metadata())[std::string(key)] = ValidUtf8(std::string(value));
  });
  v1::Error error;
  error.set_code(static_cast<int>(status.code()));
  error.set_message(ForClients(std::string(status.message())));
  google::protobuf::Any* detail = error.add_details();
  detail->set_type_url(kErrorInfoType);
  detail->set_value(info.SerializeAsString());
  return error;
}

}  // namespace nashswarm::server
