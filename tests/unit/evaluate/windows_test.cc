#include "core/evaluate/windows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"

namespace nashswarm::evaluate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// A token per byte.
class ByteTokenizer : public tokenizer::Tokenizer {
 public:
  explicit ByteTokenizer(bool add_bos = false, int32_t eos = 257) : add_bos_(add_bos), eos_(eos) {}
  std::vector<int32_t> Encode(std::string_view text) const override {
    std::vector<int32_t> tokens;
    for (const char c : text) tokens.push_back(static_cast<uint8_t>(c));
    return tokens;
  }
  std::string Decode(absl::Span<const int32_t>) const override { return ""; }
  uint64_t size() const override { return 258; }
  int32_t bos() const override { return 256; }
  int32_t eos() const override { return eos_; }
  bool add_bos() const override { return add_bos_; }

 private:
  bool add_bos_;
  int32_t eos_;
};

absl::StatusOr<std::vector<Window>> Cut(std::string_view text, WindowOptions options, bool add_bos = false) {
  return CutText(text, "text", ByteTokenizer(add_bos), 64, options);
}

TEST(WindowsTest, HalfScoresTheSecondHalfOfWholeWindows) {
  const auto windows = *Cut("abcdefghijklmnopqrs", {.context = 8});  // 19 tokens: two windows, three left over
  ASSERT_THAT(windows, SizeIs(2));
  EXPECT_EQ(windows[0].tokens.front(), 'a');
  EXPECT_EQ(windows[1].tokens.front(), 'i');
  // llama-perplexity takes the predictions at positions context/2 ... context - 2: of tokens 5, 6 and 7.
  EXPECT_EQ(windows[0].score_from, 5u);
  EXPECT_EQ(windows[0].scored(), 3u);
}

TEST(WindowsTest, HalfPutsBosAtTheStartOfEveryWindow) {
  const auto windows = *Cut("abcdefghijklmno", {.context = 8}, /*add_bos=*/true);  // 16 tokens with BOS
  ASSERT_THAT(windows, SizeIs(2));
  EXPECT_THAT(windows[0].tokens, ElementsAre(256, 'a', 'b', 'c', 'd', 'e', 'f', 'g'));
  EXPECT_THAT(windows[1].tokens, ElementsAre(256, 'i', 'j', 'k', 'l', 'm', 'n', 'o'));  // in place of 'h'
}

TEST(WindowsTest, StridedScoresEveryTokenButTheFirstOnce) {
  const auto windows = *Cut("abcdefghijklm", {.protocol = Protocol::kStrided, .context = 6, .stride = 4});
  std::string scored;
  for (const Window& window : windows) {
    for (uint64_t i = window.score_from; i < window.tokens.size(); ++i) scored += static_cast<char>(window.tokens[i]);
  }
  EXPECT_EQ(scored, "bcdefghijklm");
  ASSERT_THAT(windows, SizeIs(3));
  EXPECT_EQ(windows[1].tokens.front(), 'e');
  EXPECT_EQ(windows[1].score_from, 2u);    // g: e and f were scored by the first window
  EXPECT_EQ(windows[2].tokens.size(), 5u);  // i to m
}

TEST(WindowsTest, PaddedTakesLinesOfTwentyCharactersAndPads) {
  const std::string text = "short line\n" + std::string(19, 'x') + "\n" + std::string(20, 'y') + "\n" + std::string(100, 'z') +
                           "\n\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\n";  // 10 letters
  const auto windows = *Cut(text, {.protocol = Protocol::kPadded64});
  ASSERT_THAT(windows, SizeIs(2));
  EXPECT_THAT(windows[0].tokens, SizeIs(64));
  EXPECT_EQ(windows[0].tokens[19], 'y');
  EXPECT_EQ(windows[0].tokens[20], 257);
  EXPECT_EQ(windows[0].scored(), 63u);  // padding counts
  EXPECT_EQ(windows[1].tokens[63], 'z');
}

TEST(WindowsTest, MaxTokensIsOfTheText) {
  EXPECT_THAT(*Cut(std::string(100, 'a'), {.context = 8, .max_tokens = 20}), SizeIs(2));
}

TEST(WindowsTest, TheContextDefaultsToTheModelsWhenThatIsShort) {
  EXPECT_EQ(*ResolveContext(0, 64), 64u);
  EXPECT_EQ(*ResolveContext(0, 4096), 1024u);
  EXPECT_EQ(*ResolveContext(2048, 4096), 2048u);
}

TEST(WindowsTest, BadInputIsNamed) {
  EXPECT_EQ(ReasonOf(Cut("", {.context = 8}).status()), "TEXT_EMPTY");
  EXPECT_EQ(ReasonOf(Cut(" \n\t ", {.context = 8}).status()), "TEXT_EMPTY");
  const absl::Status shorter = Cut("abc", {.context = 8}).status();
  EXPECT_EQ(ReasonOf(shorter), "TEXT_TOO_SHORT");
  EXPECT_THAT(std::string(shorter.message()), HasSubstr("3 tokens"));
  const absl::Status longer = Cut("abcdefgh", {.context = 65}).status();
  EXPECT_EQ(ReasonOf(longer), "CONTEXT_TOO_LONG");
  EXPECT_THAT(HintOf(longer), HasSubstr("--ctx 64"));
  EXPECT_EQ(ReasonOf(Cut("abcdefgh", {.context = 2}).status()), "CONTEXT_TOO_SHORT");
  EXPECT_EQ(ReasonOf(Cut("abcdefgh", {.protocol = Protocol::kStrided, .context = 4, .stride = 5}).status()), "STRIDE_TOO_LONG");
  EXPECT_EQ(ReasonOf(Cut("short", {.protocol = Protocol::kPadded64}).status()), "TEXT_TOO_SHORT");
  EXPECT_EQ(ReasonOf(CutText(std::string(30, 'a'), "text", ByteTokenizer(false, -1), 64, {.protocol = Protocol::kPadded64}).status()),
            "NO_EOS_TOKEN");
}

TEST(WindowsTest, ProtocolsGoByTheirNames) {
  for (const Protocol protocol : {Protocol::kHalf, Protocol::kStrided, Protocol::kPadded64}) {
    EXPECT_EQ(ProtocolByName(NameOf(protocol)), protocol);
  }
  EXPECT_FALSE(ProtocolByName("whole").has_value());
}

}  // namespace
}  // namespace nashswarm::evaluate
