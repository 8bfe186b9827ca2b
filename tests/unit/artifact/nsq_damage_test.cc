// Files that are damaged, cut short, or lie.
#include "core/artifact/nsq_artifact.h"
#include "tests/unit/artifact/nsq_sample.h"

namespace nashswarm::artifact {
namespace {

// What a flipped bit inside tensor t must say.
void ExpectNamed(const absl::Status& status, const NsqTensor& tensor, uint64_t at, const nsq::Stream* stream) {
  ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << tensor.name << " byte " << at << ": " << status;
  ASSERT_THAT(Message(status), HasSubstr("'" + tensor.name + "'"));
  if (stream == nullptr) {
    ASSERT_EQ(ReasonOf(status), "NSQ_TENSOR");
    return;
  }
  ASSERT_EQ(ReasonOf(status), at < stream->header_bytes() ? "NSQ_STREAM" : "NSQ_TILE");
  if (at < stream->header_bytes()) return;
  uint64_t begin = stream->header_bytes();
  for (uint32_t tile = 0; tile < stream->grid().tiles(); ++tile) {
    const uint64_t end = begin + stream->payload(tile).size();
    if (at >= begin && at < end) {
      ASSERT_THAT(Message(status), HasSubstr("tile " + std::to_string(tile) + " "));
    }
    begin = end;
  }
}

TEST(DamageTest, EveryFlippedBitIsFoundAndNamed) {
  const auto dir = MakeTemporaryDirectory();
  SmallSample().WriteTo(dir.path());
  std::string file = ReadTestFile(dir.path() + "/model.nsq");
  const auto contents = ParseNsq(AsBytes(file), "x");
  NS_ASSERT_OK(contents.status());
  ASSERT_LT(file.size(), 8000u);
  size_t synonyms = 0;
  for (size_t byte = 0; byte < contents->block_begin; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
      const auto parsed = ParseNsq(AsBytes(file), "x");
      // deflate can say the same in two ways. Then the tensors are the same too.
      if (parsed.ok()) {
        ++synonyms;
        ASSERT_EQ(IndexText(parsed->tensors), IndexText(contents->tensors)) << byte;
        ASSERT_EQ(parsed->block_begin, contents->block_begin);
      }
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
    }
  }
  EXPECT_LT(synonyms, 64u);
  for (const NsqTensor& tensor : contents->tensors) {
    std::string bytes = file.substr(contents->block_begin + tensor.offset, tensor.bytes);
    const std::string whole = bytes;
    std::optional<nsq::Stream> stream;
    if (tensor.coded()) stream = *nsq::Stream::Open(AsBytes(whole), tensor.rows(), tensor.columns(), tensor.name);
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
        ExpectNamed(VerifyTensor(tensor, AsBytes(bytes)), tensor, at, stream ? &*stream : nullptr);
        if (HasFatalFailure()) return;
        bytes[at] = whole[at];
      }
    }
  }
}

// The same through files: with a manifest there is no bit that Verify does not miss, and Unpack leaves nothing.
TEST(DamageTest, VerifyFindsEveryBitByTheManifestAndUnpackWritesNothing) {
  const auto dir = MakeTemporaryDirectory();
  const std::string path = dir.path() + "/model.nsq", out = dir.path() + "/out";
  Sample sample;
  sample.AddPlain("norm", DType::kF16, {1, 2, 3});
  sample.AddMatrix("m", 8, 8, true, 0.7);
  sample.WriteTo(dir.path(), /*manifest=*/true);
  NS_ASSERT_OK(Verify(*ReadNsq(dir.path()), 1, kSilentTotal));
  const std::string whole = ReadTestFile(path);
  const uint64_t block = ParseNsq(AsBytes(whole), "x")->block_begin;
  for (size_t byte = 0; byte < whole.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string file = whole;
      file[byte] = static_cast<char>(file[byte] ^ (1 << bit));
      WriteTestFile(path, file);
      const auto open = ReadNsq(dir.path());
      const absl::Status status = open.ok() ? Verify(*open, 1, kSilentTotal) : open.status();
      ASSERT_FALSE(status.ok()) << byte << " bit " << bit;
      if (byte < block || !open.ok()) continue;
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
      EXPECT_NE(ReasonOf(status), "ARTIFACT_DIGEST") << "a tensor's own checksum says more";
      const absl::Status unpacked = Unpack(*open, DType::kF32, out, 1, kSilentTotal);
      ASSERT_EQ(unpacked.code(), absl::StatusCode::kDataLoss) << byte;
      ASSERT_EQ(ReasonOf(unpacked), ReasonOf(status));
      ASSERT_THAT(NamesIn(out), ElementsAre());
    }
  }
}

TEST(DamageTest, ManifestOfAnotherFileIsFound) {
  const auto dir = MakeTemporaryDirectory();
  Sample sample = SmallSample();
  sample.WriteTo(dir.path(), /*manifest=*/true);
  sample.tensors[0].name = "renamed";
  sample.WriteTo(dir.path());
  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  EXPECT_EQ(ReasonOf(Verify(*open, 1, kSilentTotal)), "ARTIFACT_DIGEST");
}

TEST(DamageTest, TruncationAtEveryByteIsFound) {
  const auto dir = MakeTemporaryDirectory();
  SmallSample().WriteTo(dir.path());
  const std::string file = ReadTestFile(dir.path() + "/model.nsq");
  for (size_t size = 0; size < file.size(); ++size) {
    const std::string head = file.substr(0, size);  // a copy of its own, so that a sanitizer sees reads beyond
    ASSERT_FALSE(ParseNsq(AsBytes(head), "x").ok()) << size;
  }
  EXPECT_FALSE(ParseNsq(AsBytes(file + "\0"), "x").ok() && ParseNsq(AsBytes(file + "x"), "x").ok());
}

TEST(DamageTest, StreamsCutAtEveryByteAreFound) {
  const Sample sample = SmallSample();
  for (size_t t = 0; t < sample.tensors.size(); ++t) {
    if (!sample.tensors[t].coded()) continue;
    for (size_t size = 0; size < sample.bytes[t].size(); ++size) {
      const std::string head = sample.bytes[t].substr(0, size);
      ASSERT_EQ(VerifyTensor(sample.tensors[t], AsBytes(head)).code(), absl::StatusCode::kDataLoss) << size;
    }
    ASSERT_EQ(ReasonOf(VerifyTensor(sample.tensors[t], AsBytes(sample.bytes[t] + "x"))), "NSQ_STREAM");
  }
}

TEST(LyingFileTest, HeadersOfOtherFilesAreRefused) {
  const std::string index = PackedIndex(R"({"tensors":[]})");
  NS_EXPECT_OK(ParseNsq(AsBytes(Image(index, "")), "x").status());
  const auto reason = [&](std::map<std::string, std::string> metadata) {
    const absl::Status status = ParseNsq(AsBytes(Image(index, "", std::move(metadata))), "x").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX");
    return Message(status);
  };
  EXPECT_THAT(reason({}), HasSubstr("not of the nsq format"));
  EXPECT_THAT(reason({{"format", "pt"}}), HasSubstr("not of the nsq format"));
  EXPECT_THAT(reason({{"format", "nsq"}, {"nsq_version", "2"}}), HasSubstr("version 2"));
  EXPECT_THAT(reason({{"format", "nsq"}}), HasSubstr("version ?"));
  const auto with = [&](std::vector<checkpoint::TensorShape> shapes, size_t data) {
    return ReasonOf(ParseNsq(AsBytes(checkpoint::SerializeSafetensorsHeader(shapes, {{"format", "nsq"}, {"nsq_version", "1"}}) + std::string(data, ' ')), "x").status());
  };
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {4}}}, 4), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.data", DType::kU8, {4}}, {"nsq.index", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {2, 2}}, {"nsq.data", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kI8, {4}}, {"nsq.data", DType::kU8, {4}}}, 8), "NSQ_INDEX");
  EXPECT_EQ(with({{"nsq.index", DType::kU8, {4}}, {"nsq.data", DType::kU8, {4}}, {"more", DType::kU8, {4}}}, 12), "NSQ_INDEX");
}

TEST(LyingFileTest, AnIndexThatUnpacksWithoutEndIsRefused) {
  // 40 MB of zeros from 40 KB.
  const std::string bomb = PackedIndex(std::string(40u << 20, '0'));
  ASSERT_LT(bomb.size(), 100000u);
  EXPECT_THAT(Message(ParseNsq(AsBytes(Image(bomb, "")), "x").status()), HasSubstr("does not unpack"));
  const std::string whole = PackedIndex(R"({"tensors":[]})");
  for (const std::string& index : {std::string(), std::string("x"), whole.substr(0, whole.size() - 1), whole + "x", whole + whole}) {
    const absl::Status status = ParseNsq(AsBytes(Image(index, "")), "x").status();
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX") << index.size();
  }
  for (const std::string text : {"", "[]", "{", "{}", R"({"tensors":{}})", R"({"tensors":[1]})", R"({"tensors":[],"tensors":[]})"}) {
    EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(text), "")), "x").status()), "NSQ_INDEX") << text;
  }
  EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(R"({"tensors":)" + std::string(100, '[') + std::string(100, ']') + "}"), "")), "x").status()),
            "NSQ_INDEX");
  // A reader of JSON that stops at a NUL must not see another file than one that goes on.
  EXPECT_EQ(ReasonOf(ParseNsq(AsBytes(Image(PackedIndex(std::string("{\"tensors\":[]}\0more", 19)), "")), "x").status()), "NSQ_INDEX");
}

TEST(LyingFileTest, EntriesThatCannotBeTrueAreRefused) {
  const std::string block(64, '\0');
  const auto plain = [](const std::string& fields) { return "{" + fields + "}"; };
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)"), block));
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"a","shape":[8,8],"dtype":"F32","coding":"nsq","bytes":64,"more":1)"), block));
  NS_EXPECT_OK(ParseEntries(plain(R"("name":"s","shape":[],"dtype":"F32","coding":"F32","bytes":4,"crc32":0)") + "," +
                            plain(R"("name":"a","shape":[15],"dtype":"F32","coding":"F32","bytes":60,"crc32":0)"), block));
  for (const char* fields : {
           // sizes
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":60,"crc32":0)",
           R"("name":"a","shape":[17],"dtype":"F32","coding":"F32","bytes":68,"crc32":0)",
           R"("name":"a","shape":[4294967296,4294967296],"dtype":"F32","coding":"F32","bytes":0,"crc32":0)",
           R"("name":"a","shape":[4611686018427387905],"dtype":"F32","coding":"F32","bytes":4,"crc32":0)",
           R"("name":"a","shape":[18446744073709551616],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[-16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16.0],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":["16"],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":16,"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[1,1,1,1,1,1,1,1,16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":-1,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":"64","crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64.0,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","crc32":0)",
           // more weights than there can be
           R"("name":"a","shape":[16777216,65536],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[4096,1040],"dtype":"F32","coding":"nsq-transposed","bytes":64)",
           R"("name":"a","shape":[33554432,1],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[0,8],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[64],"dtype":"F32","coding":"nsq","bytes":64)",
           R"("name":"a","shape":[4,4,4],"dtype":"F32","coding":"nsq","bytes":64)",
           // types
           R"("name":"a","shape":[64],"dtype":"U8","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[64],"dtype":"F32","coding":"I8","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"zip","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"dtype":"F32","bytes":64,"crc32":0)",
           R"("name":"a","shape":[16],"coding":"F32","bytes":64,"crc32":0)",
           // checksums
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":4294967296)",
           R"("name":"a","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":-1)",
           // names
           R"("shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":5,"shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"__metadata__","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"../../etc","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\\b","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\u0000b","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
           R"("name":"a\u007fb","shape":[16],"dtype":"F32","coding":"F32","bytes":64,"crc32":0)",
       }) {
    const absl::Status status = ParseEntries(plain(fields), block);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << fields;
    EXPECT_EQ(ReasonOf(status), "NSQ_INDEX") << fields;
  }
  const std::string half = R"("shape":[8],"dtype":"F32","coding":"F32","bytes":32,"crc32":0})";
  NS_EXPECT_OK(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"b\"," + half, block));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"a\"," + half, block)), HasSubstr("twice"));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half, block)), HasSubstr("left after"));
  EXPECT_THAT(Message(ParseEntries("{\"name\":\"a\"," + half + ",{\"name\":\"b\"," + half + ",{\"name\":\"c\"," + half, block)), HasSubstr("'c' ends beyond"));
  EXPECT_FALSE(ParseEntries("{\"name\":\"" + std::string(1025, 'n') + "\"," + half, block.substr(32)).ok());
  NS_EXPECT_OK(ParseEntries("{\"name\":\"" + std::string(1024, 'n') + "\"," + half, block.substr(32)));
}

// 256 KB that promise 64 GB of weights: refused by what they are, not by the allocator.
TEST(LyingFileTest, ShapesAreNotBelievedBeforeTheStreamIs) {
  const auto dir = MakeTemporaryDirectory();
  Sample sample;
  sample.Add("huge", {1u << 24, 1u << 10}, Coding::kTransposedStream, DType::kF16, std::string(1u << 18, '\0'), {});
  sample.WriteTo(dir.path());
  const auto open = ReadNsq(dir.path());
  NS_ASSERT_OK(open.status());
  for (const absl::Status& status : {Verify(*open, 1, kSilentTotal), Unpack(*open, DType::kF32, dir.path() + "/out", 1, kSilentTotal)}) {
    EXPECT_EQ(ReasonOf(status), "NSQ_STREAM") << status;
    EXPECT_THAT(Message(status), HasSubstr("'huge'"));
  }
  EXPECT_THAT(NamesIn(dir.path() + "/out"), ElementsAre());
}

}  // namespace
}  // namespace nashswarm::artifact
