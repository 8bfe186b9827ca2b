// Requests are checked here before anything else sees them. Every error is INVALID_ARGUMENT and says what to send.
#ifndef NASHSWARM_SERVER_SERVICES_VALIDATE_H_
#define NASHSWARM_SERVER_SERVICES_VALIDATE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/services/context.h"
#include "server/store/labels.h"

namespace nashswarm::server {

// What an artifact may be; the first is the default.

// The label of a model that says what people call it, and how long CompressionSpec.model_name may be.
inline constexpr char kNameLabel[] = "name";
inline constexpr size_t kMaxModelName = 200;

// The id of "collection/id". BAD_NAME.
absl::StatusOr<std::string> ParseName(std::string_view collection, const std::string& name);
absl::Status ValidateModelId(const std::string& id);          // BAD_MODEL_ID; "" is fine
absl::Status ValidateRequestId(const std::string& id);        // BAD_REQUEST_ID; "" is fine
absl::Status ValidateLabels(const google::protobuf::Map<std::string, std::string>& labels);  // BAD_LABELS
absl::Status ValidateUploadFiles(const v1::CreateUploadRequest& request, const Limits& limits);
// What the files are to become; NOT_ONE_FILE, EMPTY_FILE, FILE_TOO_LARGE for data. After ValidateUploadFiles.
absl::StatusOr<v1::Model::Kind> ValidateUploadKind(const v1::CreateUploadRequest& request);
// Also fills in defaults and writes format names as ServerInfo spells them.
absl::Status ValidateSpec(const EngineDescription& engine, v1::CompressionSpec* spec);
absl::Status ValidatePriority(int priority);

// The model_name of a job whose spec has none, from the model's label: a longer one is cut, between code points. "" where it is
// none that a spec could have.
std::string ModelNameOfLabel(const std::string& label);

// SHA-256 of the message's deterministic serialization: equal requests, equal digests.
std::string RequestDigest(const google::protobuf::Message& request);

Labels ToLabels(const google::protobuf::Map<std::string, std::string>& labels);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_SERVICES_VALIDATE_H_
