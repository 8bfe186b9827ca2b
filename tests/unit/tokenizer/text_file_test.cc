// What people give as a text and is none: refused by what it is, instead of a perplexity over its bytes.
#include "core/tokenizer/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/status.h"
#include "tests/support/files.h"

namespace nashswarm::tokenizer {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::WriteTestFile;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Utf16(std::string_view text, bool big_endian) {
  std::string out;
  for (const char c : text) out += big_endian ? std::string{'\0', c} : std::string{c, '\0'};
  return out;
}

const std::string kText = "the end of the day and the one thing that is of interest in it.\n";

struct Case {
  std::string bytes, reason, said, remedy;
};

void ExpectRefused(const Case& c) {
  const absl::Status status = CheckText(c.bytes, "wiki.txt").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.said;
  EXPECT_EQ(ReasonOf(status), c.reason) << c.said;
  EXPECT_THAT(std::string(status.message()), StartsWith("wiki.txt: "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(c.said));
  EXPECT_THAT(HintOf(status), HasSubstr(c.remedy)) << c.said;
}

TEST(TextFileTest, OtherEncodingsAreRefusedWithTheCommandThatConvertsThem) {
  const std::string iconv = "iconv -f ";
  ExpectRefused({"\xff\xfe" + Utf16(kText, false), "TEXT_NOT_UTF8", "UTF-16", iconv + "UTF-16 -t UTF-8 wiki.txt > text.txt"});
  ExpectRefused({"\xfe\xff" + Utf16(kText, true), "TEXT_NOT_UTF8", "UTF-16", iconv + "UTF-16 "});
  ExpectRefused({Utf16(kText, false), "TEXT_NOT_UTF8", "UTF-16LE", iconv + "UTF-16LE"});
  ExpectRefused({Utf16(kText, true), "TEXT_NOT_UTF8", "UTF-16BE", iconv + "UTF-16BE"});
  ExpectRefused({std::string("\xff\xfe\0\0t\0\0\0", 8), "TEXT_NOT_UTF8", "UTF-32", iconv + "UTF-32"});
  std::string latin;
  for (int i = 0; i < 50; ++i) latin += "d\xe9j\xe0 vu, une fois encore. ";
  ExpectRefused({latin, "TEXT_NOT_UTF8", "Latin-1", iconv + "WINDOWS-1252"});
}

TEST(TextFileTest, BinaryFilesAreNamed) {
  const auto magic = [](const char* bytes, size_t size) { return std::string(bytes, size) + std::string(40, '\x07'); };
  ExpectRefused({magic("\x89PNG\r\n\x1a\n", 8), "NOT_A_TEXT", "a PNG image", "plain text in UTF-8"});
  ExpectRefused({magic("\x1f\x8b\x08", 3), "NOT_A_TEXT", "gzip", "gunzip"});
  ExpectRefused({magic("\x28\xb5\x2f\xfd", 4), "NOT_A_TEXT", "zstd", "unzstd"});
  ExpectRefused({magic("PAR1\x15", 5), "NOT_A_TEXT", "a Parquet file", "plain file"});
  ExpectRefused({magic("PK\x03\x04", 4), "NOT_A_TEXT", "a ZIP archive", "extract"});
  ExpectRefused({magic("ARROW1\0\0", 8), "NOT_A_TEXT", "an Arrow file", "plain file"});
  ExpectRefused({magic("BZh91AY&SY", 10), "NOT_A_TEXT", "bzip2", "bunzip2"});
  ExpectRefused({magic("BZh9\x17rE8P\x90", 10), "NOT_A_TEXT", "bzip2", "bunzip2"});
  ExpectRefused({magic("GIF87a", 6), "NOT_A_TEXT", "a GIF image", "plain text"});
  ExpectRefused({magic("GIF89a", 6), "NOT_A_TEXT", "a GIF image", "plain text"});
  ExpectRefused({magic("%PDF-1.7", 8), "NOT_A_TEXT", "a PDF", "pdftotext"});
  ExpectRefused({magic("GGUF\x03\0\0\0", 8), "NOT_A_TEXT", "a GGUF file", "plain text"});
  ExpectRefused({std::string("\x02\0\0\0\0\0\0\0{} .", 12), "NOT_A_TEXT", "a safetensors file", "plain text"});
  ExpectRefused({"some text\0 and a zero" + std::string(1, '\0'), "NOT_A_TEXT", "zero bytes", "plain text"});
  ExpectRefused({"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "NOT_A_TEXT", "Git LFS pointer", "git lfs pull"});
}

TEST(TextFileTest, TextsAboutAFormatAreTexts) {
  for (const char* beginning : {"GGUF", "BZh", "BZh9", "GIF8", "PAR1", "ARROW1", "%PDF-", "%PDF", "GIF", "PK", "7z"}) {
    const std::string text = std::string(beginning) + " is what a file of that format begins with.\n";
    EXPECT_EQ(CheckText(text, "t").value_or("refused"), text);
    EXPECT_EQ(CheckText(beginning, "t").value_or("refused"), beginning);
  }
}

TEST(TextFileTest, AnEmptyTextIsRefused) {
  for (const char* bytes : {"", " \n\r\t\n", "\xef\xbb\xbf", "\xef\xbb\xbf\n"}) {
    EXPECT_EQ(ReasonOf(CheckText(bytes, "t").status()), "TEXT_EMPTY");
  }
}

TEST(TextFileTest, TextsComeBackAsTheyAreWithoutAMark) {
  EXPECT_EQ(*CheckText(kText, "t"), kText);
  EXPECT_EQ(*CheckText("\xef\xbb\xbf" + kText, "t"), kText);
  const std::string japanese = "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe6\x96\x87\xe7\xab\xa0";
  EXPECT_EQ(*CheckText(japanese, "t"), japanese);
  // Cut at a size, inside a character.
  const std::string cut = kText + japanese.substr(0, 4);
  EXPECT_EQ(*CheckText(cut, "t"), cut);
}

TEST(TextFileTest, ErrorsNameThePathThatWasGiven) {
  const auto directory = MakeTemporaryDirectory();
  const std::string path = directory.path() + "/text.txt";
  WriteTestFile(path, "\xff\xfe" + Utf16(kText, false));
  EXPECT_THAT(std::string(ReadTextFile(path).status().message()), StartsWith(path + ": the text is UTF-16"));
  EXPECT_EQ(ReasonOf(ReadTextFile(directory.path()).status()), "NOT_A_TEXT");
  EXPECT_TRUE(absl::IsNotFound(ReadTextFile(directory.path() + "/none").status()));
  WriteTestFile(path, kText);
  EXPECT_EQ(*ReadTextFile(path), kText);
}

}  // namespace
}  // namespace nashswarm::tokenizer
