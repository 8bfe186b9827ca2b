// Thousands of valid requests with something changed at random, always the same ones: what the checks of requests let through
// has the properties the rest of the server builds on, and every refusal is one a client can read.
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/tensor_pattern.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/rpc/status.h"
#include "server/services/paging.h"
#include "server/services/validate.h"
#include "tests/unit/server/test_engine.h"

namespace nashswarm::server {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kRounds = 20000;

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  uint32_t Below(uint32_t end) { return random_() % end; }

  std::string Text(std::string text) {
    static const std::vector<std::string> kPieces = {
        "", "/", "..", "../", ".", "\\", "-", "--", "a", "Z", "9", "models/", "uploads/", "é", "中文", "\xF0\x9F\x98\x80",
        "(", ")", "*", "{1000}", "[", "|", "keep", "Q4_K", "q4_k", "nsq", "GGUF", " ", "\n", "\x7f", std::string(1, '\0'),
        std::string(70, 'a'), std::string(99, 'a') + "é", std::string(199, 'p') + "中", std::string(1024, 'x'), std::string(5000, '('),
        "0123456789abcdefghjkmnpqrs", "123e4567-e89b-42d3-a456-426614174000"};
    const std::string& piece = kPieces[Below(static_cast<uint32_t>(kPieces.size()))];
    const size_t at = text.empty() ? 0 : Below(static_cast<uint32_t>(text.size() + 1));
    switch (Below(4)) {
      case 0: return piece;
      case 1: return text.insert(at, piece);
      case 2: return text.substr(0, at);
      default:
        if (at < text.size()) text[at] = static_cast<char>(Below(128));  // a string of proto3 is UTF-8 or no request
        return text;
    }
  }

  template <typename T>
  T Number() {
    static const std::vector<double> kReals = {0, -0.0, 1, -1, 0.5, 1e-320, 1e300, 32, 32.0001, 10, 100, 86400, 86401,
                                               std::nan(""), HUGE_VAL, -HUGE_VAL};
    static const std::vector<int64_t> kWhole = {0, 1, -1, 7, 8, 9, 10, 16, 17, 1023, 1025, 1 << 20, (1 << 20) + 1, 100000, 100001,
                                                INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1LL << 40, (1LL << 40) + 1};
    if constexpr (std::is_floating_point_v<T>) return static_cast<T>(kReals[Below(static_cast<uint32_t>(kReals.size()))]);
    return static_cast<T>(kWhole[Below(static_cast<uint32_t>(kWhole.size()))]);
  }

  // Changes one field somewhere below `message`: sets it, clears it, or, of a list, repeats an entry.
  void Change(Message* message) {
    const auto* type = message->GetDescriptor();
    const auto* reflection = message->GetReflection();
    const FieldDescriptor* field = type->field(static_cast<int>(Below(static_cast<uint32_t>(type->field_count()))));
    if (Below(8) == 0) return reflection->ClearField(message, field);
    if (field->is_map()) return;  // ChangeLabels
    if (field->is_repeated()) {
      const int size = reflection->FieldSize(*message, field);
      if (size == 0 || Below(4) == 0) {
        for (uint32_t i = 0, count = Below(6) == 0 ? 300 : 1; i < count; ++i) reflection->AddMessage(message, field);
        return;
      }
      return Change(reflection->MutableRepeatedMessage(message, field, static_cast<int>(Below(static_cast<uint32_t>(size)))));
    }
    Set(message, field, reflection);
  }

  void ChangeLabels(google::protobuf::Map<std::string, std::string>* labels) {
    for (uint32_t i = 0, count = Below(10) == 0 ? 70 : 1; i < count; ++i) (*labels)[Text("team" + std::to_string(i))] = Text("x");
  }

  // The message with bytes of it changed on the wire; what does not parse never reaches a service.
  bool Damage(Message* message) {
    const google::protobuf::LogSilencer quiet;  // it prints every string that is no UTF-8
    std::string bytes = message->SerializeAsString();
    for (uint32_t i = 0, count = 1 + Below(4); i < count && !bytes.empty(); ++i) {
      bytes[Below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(Below(256));
    }
    return message->ParseFromString(bytes);
  }

 private:
  void Set(Message* message, const FieldDescriptor* field, const google::protobuf::Reflection* reflection) {
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return reflection->SetString(message, field, Text(reflection->GetString(*message, field)));
      case FieldDescriptor::CPPTYPE_INT32: return reflection->SetInt32(message, field, Number<int32_t>());
      case FieldDescriptor::CPPTYPE_INT64: return reflection->SetInt64(message, field, Number<int64_t>());
      case FieldDescriptor::CPPTYPE_UINT64: return reflection->SetUInt64(message, field, Number<uint64_t>());
      case FieldDescriptor::CPPTYPE_DOUBLE: return reflection->SetDouble(message, field, Number<double>());
      case FieldDescriptor::CPPTYPE_BOOL: return reflection->SetBool(message, field, Below(2) == 0);
      case FieldDescriptor::CPPTYPE_ENUM: return reflection->SetEnumValue(message, field, Number<int32_t>());
      case FieldDescriptor::CPPTYPE_MESSAGE: return Change(reflection->MutableMessage(message, field));
      default: return;
    }
  }

  std::mt19937 random_;
};

// The caller is told INVALID_ARGUMENT with a reason, in a message that his protobuf library can read.
void ExpectRefusal(const absl::Status& status) {
  ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  ASSERT_NE(ReasonOf(status), "");
  const grpc::Status sent = ToGrpcStatus(status);
  v1::Error error;
  ASSERT_TRUE(error.ParseFromString(sent.error_details())) << status;
  v1::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(error.details(0).value())) << status;
  ASSERT_LT(sent.error_message().size() + sent.error_details().size(), 7000u) << "a header list is refused above 8 KiB";
}

bool IsId(const std::string& id) {
  return !id.empty() && id.size() <= 63 && id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

v1::CompressionSpec ValidSpec(int kind) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(3.5);
  if (kind % 3 == 1) spec.set_max_kl(0.01);
  if (kind % 3 == 2) spec.set_size_bytes(1 << 20);
  auto* rule = spec.add_rules();
  rule->set_pattern(".*\\.mlp\\..*");
  rule->set_format("Q4_K");
  spec.mutable_calibration()->set_text("models/some-text");
  spec.mutable_evaluation()->set_text("models/other-text");
  spec.mutable_search()->set_context_rounds(2);
  return spec;
}

void ExpectUsable(const v1::CompressionSpec& spec) {
  ASSERT_NE(spec.target_case(), v1::CompressionSpec::TARGET_NOT_SET);
  if (spec.has_bits_per_weight()) {
    ASSERT_TRUE(spec.bits_per_weight() > 0 && spec.bits_per_weight() <= 32);
  }
  if (spec.has_ratio()) {
    ASSERT_TRUE(spec.ratio() > 0 && spec.ratio() < 1);
  }
  if (spec.has_size_bytes()) {
    ASSERT_GT(spec.size_bytes(), 0);
  }
  if (spec.has_max_kl()) {
    ASSERT_TRUE(spec.max_kl() > 0 && std::isfinite(spec.max_kl()));
  }
  if (spec.has_max_ppl_increase()) {
    ASSERT_TRUE(spec.max_ppl_increase() > 0 && std::isfinite(spec.max_ppl_increase()));
  }
  ASSERT_TRUE(spec.artifact_format() == "gguf" || spec.artifact_format() == "nsq");
  ASSERT_LE(spec.rules_size(), 256);
  for (const auto& rule : spec.rules()) {
    ASSERT_TRUE(TensorPattern::Compile(rule.pattern()).ok());
    ASSERT_TRUE(rule.format() == "keep" || TestEngine().FindNumberFormat(rule.format()) != nullptr);
  }
  ASSERT_TRUE(spec.threads() >= 0 && spec.threads() <= 1024);
  ASSERT_TRUE(spec.calibration().tokens() >= 0 && spec.evaluation().tokens() >= 0 && spec.evaluation().context() >= 0);
  ASSERT_TRUE(spec.search().context_rounds() >= 0 && spec.search().context_rounds() <= 16);
  ASSERT_TRUE(std::isfinite(spec.search().swarm_seconds()));
}

TEST(RequestMutationsTest, ASpecIsRefusedOrUsable) {
  Mutator mutator(1);
  int accepted = 0;
  for (int round = 0; round < kRounds; ++round) {
    v1::CompressionSpec spec = ValidSpec(round);
    if (mutator.Below(4) == 0 && !mutator.Damage(&spec)) continue;
    for (uint32_t i = 0, count = 1 + mutator.Below(3); i < count; ++i) mutator.Change(&spec);
    if (const absl::Status status = ValidateSpec(TestEngine(), &spec); !status.ok()) {
      ASSERT_NO_FATAL_FAILURE(ExpectRefusal(status)) << spec.DebugString();
      continue;
    }
    ++accepted;
    ASSERT_NO_FATAL_FAILURE(ExpectUsable(spec)) << spec.DebugString();
    const std::string once = RequestDigest(spec);
    ASSERT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
    ASSERT_EQ(RequestDigest(spec), once) << "checking is idempotent";
  }
  EXPECT_GT(accepted, kRounds / 20);
  EXPECT_LT(accepted, kRounds * 19 / 20);
}

v1::CreateUploadRequest ValidUpload() {
  v1::CreateUploadRequest request;
  request.set_model_id("some-model");
  request.set_request_id("123e4567-e89b-42d3-a456-426614174000");
  for (const char* path : {"config.json", "a/model.safetensors", "a/b.json"}) {
    auto* file = request.add_files();
    file->set_path(path);
    file->mutable_digest()->set_size_bytes(1000);
    file->mutable_digest()->set_sha256(std::string(32, 's'));
  }
  return request;
}

absl::Status CheckUpload(const v1::CreateUploadRequest& request, const Limits& limits) {
  NS_RETURN_IF_ERROR(ValidateModelId(request.model_id()));
  NS_RETURN_IF_ERROR(ValidateRequestId(request.request_id()));
  NS_RETURN_IF_ERROR(ValidateLabels(request.labels()));
  NS_RETURN_IF_ERROR(ValidateUploadFiles(request, limits));
  return ValidateUploadKind(request).status();
}

TEST(RequestMutationsTest, AnUploadIsRefusedOrStaysInItsDirectoryAndItsLimits) {
  Mutator mutator(2);
  Limits limits;
  limits.max_files_per_upload = 200;
  int accepted = 0;
  for (int round = 0; round < kRounds; ++round) {
    v1::CreateUploadRequest request = ValidUpload();
    if (mutator.Below(4) == 0 && !mutator.Damage(&request)) continue;
    for (uint32_t i = 0, count = 1 + mutator.Below(3); i < count; ++i) mutator.Change(&request);
    if (mutator.Below(6) == 0) mutator.ChangeLabels(request.mutable_labels());
    if (const absl::Status status = CheckUpload(request, limits); !status.ok()) {
      ASSERT_NO_FATAL_FAILURE(ExpectRefusal(status)) << request.DebugString();
      continue;
    }
    ++accepted;
    ASSERT_TRUE(request.model_id().empty() || IsId(request.model_id()));
    ASSERT_LE(request.files_size(), limits.max_files_per_upload);
    std::set<std::string> paths;
    for (const v1::FileEntry& file : request.files()) {
      ASSERT_TRUE(ValidateRelativePath(file.path()).ok());
      ASSERT_TRUE(paths.insert(file.path()).second);
      ASSERT_TRUE(file.digest().size_bytes() >= 0 && file.digest().size_bytes() <= limits.max_file_bytes);
      ASSERT_TRUE(file.digest().sha256().empty() || file.digest().sha256().size() == 32);
    }
    ASSERT_LE(request.labels_size(), 64);
  }
  EXPECT_GT(accepted, kRounds / 20);
  EXPECT_LT(accepted, kRounds * 19 / 20);
}

TEST(RequestMutationsTest, NamesAndPageTokensAreRefusedOrOurs) {
  Mutator mutator(3);
  const Cursor cursor{1700000000000000, "01j0123456789abcdefghjkmnp"};
  const std::string token = ToToken(cursor);
  for (int round = 0; round < kRounds; ++round) {
    const std::string name = mutator.Text(mutator.Below(2) == 0 ? "jobs/01j0123456789abcdefghjkmnp" : "models/tiny");
    if (const auto id = ParseName("jobs", name); id.ok()) {
      ASSERT_TRUE(IsId(*id) && "jobs/" + *id == name);
    } else {
      ASSERT_NO_FATAL_FAILURE(ExpectRefusal(id.status()));
    }
    const std::string changed = mutator.Text(token);
    const auto page = ParsePage(mutator.Number<int>(), changed);
    if (!page.ok()) {
      ASSERT_NO_FATAL_FAILURE(ExpectRefusal(page.status()));
      continue;
    }
    ASSERT_TRUE(page->size >= 1 && page->size <= 1000);
    if (!changed.empty()) {
      ASSERT_EQ(ToToken(page->after), changed);
    }
    if (page->after.has_value() && !page->after->id.empty()) {
      ASSERT_TRUE(IsId(page->after->id)) << changed;
    }
  }
}

// Damage that Text does not do: any byte, so any content behind the base64.
TEST(RequestMutationsTest, APageTokenCarriesNoOtherBytesIntoTheDatabase) {
  for (const std::string& id : {std::string("a\0b", 3), std::string("\xff\xfe"), std::string("'; --"), std::string("A")}) {
    EXPECT_EQ(ReasonOf(ParsePage(0, ToToken(Cursor{5, id})).status()), "BAD_PAGE_TOKEN");
  }
  const std::string token = ToToken(Cursor{5, "abc"});
  EXPECT_TRUE(ParsePage(0, token).ok());
  EXPECT_EQ(ReasonOf(ParsePage(0, token + "\n").status()), "BAD_PAGE_TOKEN");
}

}  // namespace
}  // namespace nashswarm::server
