// Status conversion, CRC-32C, page tokens, names.
#include <cmath>
#include <limits>

#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "server/rpc/crc32c.h"
#include "server/rpc/metrics_interceptor.h"
#include "server/rpc/status.h"
#include "server/services/manifest.h"
#include "server/services/paging.h"
#include "server/services/validate.h"
#include "server/store/error_proto.h"
#include "tests/unit/server/test_engine.h"

namespace nashswarm::server {
namespace {

TEST(StatusTest, CarriesReasonHintAndMetadata) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const absl::Status error = WithMetadata(
      MakeError(absl::StatusCode::kAborted, "OFFSET_MISMATCH", "at 5", "continue at 5"), "committed_size", "5");
  const grpc::Status status = ToGrpcStatus(error);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "at 5");
  v1::Error details;
  v1::ErrorInfo info;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), 10);
  EXPECT_EQ(details.message(), "at 5");
  ASSERT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.reason(), "OFFSET_MISMATCH");
  EXPECT_EQ(info.domain(), "nashswarm");
  EXPECT_EQ(info.metadata().at("hint"), "continue at 5");
  EXPECT_EQ(info.metadata().at("committed_size"), "5");
}

TEST(StatusTest, EveryErrorHasAReasonAndLongMessagesFitInAHeader) {
  const grpc::Status status = ToGrpcStatus(absl::InternalError(std::string(100000, 'x')));
  EXPECT_LT(status.error_message().size(), 2000u);
  EXPECT_LT(status.error_details().size(), 4000u);
  v1::Error details;
  v1::ErrorInfo info;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_TRUE(info.ParseFromString(details.details(0).value()));
  EXPECT_EQ(info.reason(), "INTERNAL");
}

TEST(StatusTest, CodeNamesAreThoseOfDashboards) {
  EXPECT_STREQ(GrpcCodeName(grpc::StatusCode::OK), "OK");
  EXPECT_STREQ(GrpcCodeName(grpc::StatusCode::CANCELLED), "Canceled");
  EXPECT_STREQ(GrpcCodeName(grpc::StatusCode::UNAUTHENTICATED), "Unauthenticated");
}

TEST(Crc32cTest, PublishedVectors) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(PagingTest, TokensSurviveARoundTripAndNothingElseDoes) {
  const std::string token = ToToken(Cursor{123456789, "01abc"});
  const auto page = ParsePage(0, token);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->size, 50);
  EXPECT_EQ(page->after->created_us, 123456789);
  EXPECT_EQ(page->after->id, "01abc");
  EXPECT_EQ(ToToken(std::nullopt), "");
  EXPECT_EQ(ParsePage(100000, "")->size, 1000);
  for (const char* bad : {"x", "????", "MTox", "OTk6MTI6YQ"}) {
    EXPECT_EQ(ReasonOf(ParsePage(1, bad).status()), "BAD_PAGE_TOKEN") << bad;
  }
  EXPECT_EQ(ReasonOf(ParsePage(-1, "").status()), "BAD_PAGE_SIZE");
}

TEST(ValidateTest, Names) {
  EXPECT_EQ(*ParseName("jobs", "jobs/01abc-d"), "01abc-d");
  for (const char* bad : {"", "jobs/", "jobs", "models/a", "jobs/A", "jobs/a/b", "jobs/..", "/jobs/a"}) {
    EXPECT_EQ(ReasonOf(ParseName("jobs", bad).status()), "BAD_NAME") << bad;
  }
  EXPECT_TRUE(ValidateModelId("a").ok());
  EXPECT_TRUE(ValidateModelId(std::string(63, 'a')).ok());
  for (const std::string& bad : {std::string("1a"), std::string("a-"), std::string("A"), std::string(64, 'a')}) {
    EXPECT_EQ(ReasonOf(ValidateModelId(bad)), "BAD_MODEL_ID") << bad;
  }
}

TEST(ValidateTest, PatternsAreBounded) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  auto* rule = spec.add_rules();
  rule->set_format("Q4_K");
  rule->set_pattern("((a{100}){100}){100}");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "BAD_PATTERN");
  rule->set_pattern(std::string(2000, 'a'));
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "BAD_PATTERN");
}

TEST(ValidateTest, ArtifactFormats) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  ASSERT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  EXPECT_EQ(spec.artifact_format(), "gguf") << "the default";
  spec.set_artifact_format("nsq");
  ASSERT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  EXPECT_EQ(spec.artifact_format(), "nsq");
  spec.set_artifact_format("NSQ");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "UNKNOWN_ARTIFACT_FORMAT");
  EXPECT_EQ(HintOf(ValidateSpec(TestEngine(), &spec)), "use one of: gguf, nsq");
}

TEST(ValidateTest, AnExpertOrderNeedsACalibrationText) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.set_expert_order(v1::CompressionSpec::ORIGINAL);
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  spec.set_expert_order(v1::CompressionSpec::TOGETHER);
  EXPECT_TRUE(absl::IsInvalidArgument(ValidateSpec(TestEngine(), &spec)));
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_EXPERT_ORDER_TEXT");
  EXPECT_THAT(HintOf(ValidateSpec(TestEngine(), &spec)), ::testing::HasSubstr("--calibrate self"));
  spec.mutable_evaluation()->set_text("models/held-out");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_EXPERT_ORDER_TEXT") << "no pairs are counted on it";
  spec.mutable_calibration()->set_imatrix("models/im");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_EXPERT_ORDER_TEXT") << "an importance matrix is no text";
  spec.mutable_calibration()->set_self(true);
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  spec.mutable_calibration()->set_text("models/wiki");
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  spec.set_expert_order(static_cast<v1::CompressionSpec::ExpertOrder>(7));
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "BAD_EXPERT_ORDER");
}

TEST(ValidateTest, ASearchNeedsACalibrationText) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.mutable_search()->set_context_rounds(2);
  EXPECT_TRUE(absl::IsInvalidArgument(ValidateSpec(TestEngine(), &spec)));
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_SEARCH_TEXT");
  EXPECT_THAT(HintOf(ValidateSpec(TestEngine(), &spec)), ::testing::HasSubstr("--calibrate self"));
  spec.mutable_evaluation()->set_text("models/held-out");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_SEARCH_TEXT") << "what is measured on must stay unseen";
  spec.mutable_calibration()->set_imatrix("models/im");
  EXPECT_EQ(ReasonOf(ValidateSpec(TestEngine(), &spec)), "NO_SEARCH_TEXT") << "an importance matrix is no text";
  spec.mutable_calibration()->set_self(true);
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  spec.mutable_calibration()->set_text("models/wiki");
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  spec.clear_calibration();
  spec.mutable_search()->Clear();
  spec.mutable_search()->set_off(true);
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok()) << "no search needs no text";
}

TEST(ValidateTest, ASearchIsBounded) {
  v1::CompressionSpec spec;
  spec.set_bits_per_weight(4);
  spec.mutable_calibration()->set_self(true);
  v1::Search& search = *spec.mutable_search();
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok()) << "zero of everything";
  search.set_context_rounds(16);
  search.set_swarm_evaluations(100000);
  search.set_swarm_seconds(86400);
  EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok());
  const auto reason = [&] {
    const std::string reason = ReasonOf(ValidateSpec(TestEngine(), &spec));
    search.Clear();
    return reason;
  };
  for (const int bad : {-1, 17}) {
    search.set_context_rounds(bad);
    EXPECT_EQ(reason(), "BAD_SEARCH") << bad;
  }
  for (const int bad : {-1, 100001}) {
    search.set_swarm_evaluations(bad);
    EXPECT_EQ(reason(), "BAD_SEARCH") << bad;
  }
  for (const double bad : {-0.5, 86400.5, std::numeric_limits<double>::infinity(), std::nan("")}) {
    search.set_swarm_seconds(bad);
    EXPECT_EQ(reason(), "BAD_SEARCH") << bad;
  }
  search.set_off(true);
  search.set_swarm_seconds(1);
  EXPECT_EQ(reason(), "BAD_SEARCH") << "off, and what there is not is limited";
}

// The name was cut inside a code point, and no client could read the job.
TEST(ValidateTest, AModelsLabelBecomesANameThatAJobMayHave) {
  const auto named = [](const std::string& label) {
    v1::CompressionSpec spec;
    spec.set_bits_per_weight(4);
    spec.set_model_name(ModelNameOfLabel(label));
    EXPECT_TRUE(ValidateSpec(TestEngine(), &spec).ok()) << label;
    EXPECT_TRUE(v1::CompressionSpec().ParseFromString(spec.SerializeAsString())) << label;
    return spec.model_name();
  };
  EXPECT_EQ(named("Org/Model-1B"), "Org/Model-1B");
  EXPECT_EQ(named(std::string(200, 'p')), std::string(200, 'p'));
  EXPECT_EQ(named(std::string(255, 'p')), std::string(200, 'p'));
  for (const std::string& sign : {std::string("é"), std::string("中"), std::string("\xF0\x9F\x98\x80")}) {
    const size_t fit = 200 - sign.size();
    EXPECT_EQ(named(std::string(fit, 'p') + sign + "more"), std::string(fit, 'p') + sign);
    for (size_t over = 1; over < sign.size(); ++over) {
      EXPECT_EQ(named(std::string(fit + over, 'p') + sign), std::string(fit + over, 'p')) << sign << over;
    }
  }
  EXPECT_EQ(named("two\nlines"), "") << "no name that a spec may have";
  EXPECT_EQ(named(""), "");
}

TEST(ManifestTest, DependsOnContentAndPathsAlone) {
  const ModelFile a{"a", {Sha256Of("1"), 1}}, b{"b", {Sha256Of("2"), 1}};
  EXPECT_EQ(ManifestDigest({a, b}), ManifestDigest({b, a}));
  EXPECT_NE(ManifestDigest({a, b}), ManifestDigest({{"a", b.digest}, {"b", a.digest}}));
  EXPECT_NE(ManifestDigest({a}), ManifestDigest({a, b}));
}

}  // namespace
}  // namespace nashswarm::server
