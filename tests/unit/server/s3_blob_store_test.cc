// The S3 store against a real server: what the conformance suite does not ask for, because only S3 has it.
#include "server/store/s3/s3_blob_store.h"

#include <sys/stat.h>

#include <random>
#include <thread>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/worker/work_directory.h"
#include "tests/unit/server/s3_fake_server.h"
#include "tests/unit/server/s3_test_server.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

constexpr size_t kMiB = 1 << 20;

std::string Noise(size_t size, unsigned seed = 1) {
  std::mt19937_64 generator(seed);
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(generator());
  return bytes;
}

class S3ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!WhyNoS3Server().empty()) GTEST_SKIP() << WhyNoS3Server();
    options_ = S3TestStore(scratch_.path() + "/cache");
    store_ = Must(S3BlobStore::OpenAt(options_));
    ASSERT_NE(store_, nullptr);
  }
  S3Client& client() { return store_->client(); }
  std::string prefix() { return client().location().prefix; }
  std::string File(const std::string& content) {
    const std::string path = scratch_.path() + "/file";
    EXPECT_TRUE(WriteFileUnsynced(path, content).ok());
    return path;
  }
  // Appends `content` in odd cuts, with a Sync at each of `syncs`, which makes a piece end there.
  StagedPart Stage(const std::string& key, const std::string& content, const std::vector<size_t>& syncs = {}) {
    auto writer = Must(store_->CreateStaged(key));
    size_t at = 0, cut = 1;
    const auto append = [&](size_t end) {
      while (at < end) {
        const size_t take = std::min(cut = cut * 7 % 1500007, end - at);
        EXPECT_TRUE(writer->Append(absl::MakeConstSpan(content.data() + at, take)).ok());
        at += take;
      }
      EXPECT_TRUE(writer->Sync().ok());
    };
    for (const size_t sync : syncs) append(sync);
    append(content.size());
    return {key, static_cast<int64_t>(content.size())};
  }
  // Not from the cache.
  std::string Read(const std::string& sha256) {
    store_->cache().Remove(sha256);
    auto reader = store_->Open(sha256);
    if (!reader.ok()) return reader.status().ToString();
    std::string content(static_cast<size_t>((*reader)->size()), '\0');
    const absl::Status status = (*reader)->ReadAt(0, (*reader)->size(), content.data());
    return status.ok() ? content : status.ToString();
  }
  size_t Objects(const std::string& under) { return Must(client().ListAll(prefix() + under)).objects.size(); }

  TemporaryDirectory scratch_ = *TemporaryDirectory::Create();
  S3BlobStore::Options options_;
  std::unique_ptr<S3BlobStore> store_;
};

TEST_F(S3ServerTest, AWrongKeyIsRefusedAndNotRepeated) {
  options_.client.credentials.secret_key = "not-the-secret";
  const absl::Status status = S3BlobStore::OpenAt(options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ReasonOf(status), "S3_ACCESS_DENIED");
  EXPECT_THAT(HintOf(status), ::testing::HasSubstr("secret access key"));
  EXPECT_THAT(status.ToString(), ::testing::Not(::testing::HasSubstr("not-the-secret")));
  options_ = S3TestStore(scratch_.path() + "/cache");
  options_.client.credentials.access_key = "nobody";
  EXPECT_EQ(ReasonOf(S3BlobStore::OpenAt(options_).status()), "S3_ACCESS_DENIED");
}

TEST_F(S3ServerTest, AWrongClockIsExplained) {
  options_.client.unix_seconds = [] { return static_cast<int64_t>(time(nullptr)) - 3600; };
  const absl::Status status = S3BlobStore::OpenAt(options_).status();
  EXPECT_EQ(ReasonOf(status), "S3_ACCESS_DENIED");
  EXPECT_THAT(HintOf(status), ::testing::HasSubstr("clock"));
}

TEST_F(S3ServerTest, OverTls) {
  const std::string url = absl::StrCat("s3://", options_.client.location.bucket, "/", prefix(), "?endpoint=", S3TlsEndpoint(),
                                       "&region=", options_.client.location.region);
  options_.client.location = Must(ParseS3Url(absl::StrCat(url, "&ca_file=", S3TlsCaFile())));
  store_ = Must(S3BlobStore::OpenAt(options_));
  const std::string content = Noise(3 * kMiB);
  ASSERT_TRUE(store_->PutFile(File(content), DigestOf(content)).ok());
  EXPECT_TRUE(Read(Sha256Of(content)) == content);

  options_.client.location = Must(ParseS3Url(url));  // a CA that this machine does not trust
  const absl::Status untrusted = S3BlobStore::OpenAt(options_).status();
  EXPECT_EQ(ReasonOf(untrusted), "S3_TLS");
  EXPECT_THAT(HintOf(untrusted), ::testing::HasSubstr("ca_file"));
}

TEST_F(S3ServerTest, AMissingBucketIsSaidAtOnce) {
  options_.client.location.bucket = "no-such-bucket";
  EXPECT_EQ(ReasonOf(S3BlobStore::OpenAt(options_).status()), "S3_NO_SUCH_BUCKET");
}

TEST_F(S3ServerTest, OtherBytesThanSignedAreRefused) {
  const std::string sent = "tampered";
  S3Payload payload = S3Payload::Of(absl::MakeConstSpan(sent.data(), sent.size()));
  payload.sha256 = Sha256Of("original");
  EXPECT_EQ(ReasonOf(client().PutObject(prefix() + "k", payload)), "DIGEST_MISMATCH");
  EXPECT_EQ(ReasonOf(store_->PutFile(File("tampered"), DigestOf("original"))), "DIGEST_MISMATCH");
  EXPECT_EQ(Objects(""), 0u);
}

TEST_F(S3ServerTest, LargeFilesGoInParts) {
  options_.part_bytes = 5 * kMiB;
  store_ = Must(S3BlobStore::OpenAt(options_));
  const std::string content = Noise(12 * kMiB + 12345);
  ASSERT_TRUE(store_->PutFile(File(content), DigestOf(content)).ok());
  EXPECT_FALSE(PathExists(scratch_.path() + "/file"));
  EXPECT_TRUE(Read(Sha256Of(content)) == content);
  EXPECT_TRUE(Must(client().ListMultipartUploads(prefix())).empty());
}

TEST_F(S3ServerTest, ManyPiecesInOddCutsBecomeOneBlob) {
  const std::string content = Noise(21 * kMiB + 7);
  // Pieces: 3 bytes, 8 MiB, 2 MiB, 1 byte, 8 MiB, the rest; the second part is tiny.
  const StagedPart first = Stage("u/a-1", content.substr(0, content.size() - 10),
                                 {3, 3 + 8 * kMiB, 3 + 10 * kMiB, 4 + 10 * kMiB});
  const StagedPart second = Stage("u/a-2", content.substr(content.size() - 10));
  EXPECT_EQ(Objects("staging/u/a-1/"), 6u);
  std::string seen;
  ASSERT_TRUE(store_
                  ->ReadStaged(first,
                               [&](absl::Span<const char> bytes) {
                                 seen.append(bytes.data(), bytes.size());
                                 return absl::OkStatus();
                               })
                  .ok());
  EXPECT_TRUE(seen == content.substr(0, content.size() - 10));
  ASSERT_TRUE(store_->CommitStaged({first, second}, DigestOf(content)).ok());
  EXPECT_TRUE(Read(Sha256Of(content)) == content);
  EXPECT_EQ(Objects("staging/"), 7u) << "the parts stay";
  ASSERT_TRUE(store_->CommitStaged({first, second}, DigestOf(content)).ok()) << "again";
  ASSERT_TRUE(store_->RemoveStaged("u").ok());
  EXPECT_EQ(Objects("staging/"), 0u);
}

TEST_F(S3ServerTest, OfALargeCheckpointOnlyTheHeaderIsBroughtHere) {
  const std::string header = R"({"w":{"dtype":"F16","shape":[17301504],"data_offsets":[0,34603008]}})";
  std::string large(8, '\0');
  large[0] = static_cast<char>(header.size());
  large += header + Noise(33 * kMiB);
  const std::string small = Noise(100, 2);
  for (const std::string& content : {large, small}) ASSERT_TRUE(store_->PutFile(File(content), DigestOf(content)).ok());
  const std::vector<ModelFile> files = {{"model.safetensors", DigestOf(large)},
                                        {"weights.bin", DigestOf(large)},
                                        {"sub/small.safetensors", DigestOf(small)}};
  absl::StatusOr<WorkDirectory> created = WorkDirectory::Create(scratch_.path(), "validate");
  ASSERT_TRUE(created.ok());
  WorkDirectory& work = *created;
  ASSERT_TRUE(work.AddModelHeaders(*store_, files).ok());
  const std::string path = work.model_path() + "/model.safetensors";
  const std::string shown = Must(ReadFile(path));
  EXPECT_EQ(shown.size(), large.size());
  EXPECT_EQ(shown.substr(0, 8 + header.size()), large.substr(0, 8 + header.size()));
  EXPECT_EQ(shown.find_first_not_of('\0', 8 + header.size()), std::string::npos);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, 64 << 10);
  EXPECT_TRUE(Must(ReadFile(work.model_path() + "/weights.bin")) == large);
  EXPECT_TRUE(Must(ReadFile(work.model_path() + "/sub/small.safetensors")) == small);

  ASSERT_TRUE(store_->Remove(Sha256Of(large)).ok());
  EXPECT_EQ(ReasonOf(work.AddModelHeaders(*store_, files)), "BLOB_MISSING");
}

TEST_F(S3ServerTest, OnePieceIsCopiedAsItIs) {
  const std::string content = Noise(8 * kMiB);
  StagedPart part = Stage("u/a-1", content + "more");
  part.size_bytes = static_cast<int64_t>(content.size());
  ASSERT_TRUE(store_->CommitStaged({part}, DigestOf(content)).ok());
  EXPECT_TRUE(Read(Sha256Of(content)) == content);
}

TEST_F(S3ServerTest, ACommittedPrefixMayEndInsideALargePiece) {
  const std::string content = Noise(24 * kMiB);
  StagedPart part = Stage("u/a-1", content);
  for (const size_t size : {16 * kMiB + 6 * kMiB, 16 * kMiB + 1}) {
    const std::string wanted = content.substr(0, size);
    part.size_bytes = static_cast<int64_t>(size);
    ASSERT_TRUE(store_->CommitStaged({part}, DigestOf(wanted)).ok());
    EXPECT_TRUE(Read(Sha256Of(wanted)) == wanted) << size;
  }
}

TEST_F(S3ServerTest, AFailedCommitLeavesNothing) {
  const std::string content = Noise(20 * kMiB);
  const StagedPart part = Stage("u/a-1", content);
  EXPECT_EQ(ReasonOf(store_->CommitStaged({part}, {Sha256Of(content), part.size_bytes - 1})), "DIGEST_MISMATCH");
  ASSERT_TRUE(client().DeleteObject(prefix() + "staging/u/a-1/" + PieceName(8 * kMiB)).ok());
  EXPECT_EQ(ReasonOf(store_->CommitStaged({part}, DigestOf(content))), "BLOB_TRUNCATED");
  EXPECT_EQ(ReasonOf(store_->ReadStaged(part, [](auto) { return absl::OkStatus(); })), "BLOB_TRUNCATED");
  // A piece of the right size and other bytes, as a broken disk of the server would give it.
  const std::string other = Noise(3 * kMiB, 2), good = Noise(3 * kMiB, 3);
  S3Payload lie = S3Payload::Of(absl::MakeConstSpan(other.data(), other.size()));
  Stage("u/b-1", good);
  ASSERT_TRUE(client().PutObject(prefix() + "staging/u/b-1/" + PieceName(0), lie).ok());
  EXPECT_EQ(ReasonOf(store_->CommitStaged({{"u/b-1", int64_t{3 * kMiB}}}, DigestOf(good))), "DIGEST_MISMATCH");
  EXPECT_FALSE(Must(store_->Has(Sha256Of(content))));
  EXPECT_EQ(Objects("sha256/"), 0u);
  EXPECT_TRUE(Must(client().ListMultipartUploads(prefix())).empty());
}

TEST_F(S3ServerTest, AReaderReadsAheadAndJumps) {
  const std::string content = Noise(3 * kMiB + 5);
  ASSERT_TRUE(store_->PutFile(File(content), DigestOf(content)).ok());
  store_->cache().Remove(Sha256Of(content));
  auto reader = Must(store_->Open(Sha256Of(content)));
  const auto expect = [&](size_t offset, size_t size) {
    std::string got(size, '\0');
    ASSERT_TRUE(reader->ReadAt(static_cast<int64_t>(offset), static_cast<int64_t>(size), got.data()).ok());
    EXPECT_TRUE(got == content.substr(offset, size)) << offset << "+" << size;
  };
  for (size_t offset = 0; offset < content.size(); offset += 100001) {
    expect(offset, std::min<size_t>(100001, content.size() - offset));
  }
  std::mt19937 random(7);
  for (int i = 0; i < 30; ++i) {
    const size_t offset = random() % content.size();
    expect(offset, random() % std::min<size_t>(content.size() - offset, i % 2 ? 5000 : 900000));
  }
  expect(content.size() - 1, 1);
}

TEST_F(S3ServerTest, ManyThreadsShareOneDownload) {
  const std::string content = Noise(2 * kMiB);
  ASSERT_TRUE(store_->PutFile(File(content), DigestOf(content)).ok());
  store_->cache().Remove(Sha256Of(content));
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      const std::string path = absl::StrCat(scratch_.path(), "/link", i);
      good += store_->LinkInto(Sha256Of(content), path, {}).ok() && Must(ReadFile(path)) == content;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 6);
  EXPECT_EQ(store_->cache().size_bytes(), static_cast<int64_t>(content.size()));
}

TEST_F(S3ServerTest, AFileNextToTheStoreIsNotFetchedAgain) {
  ASSERT_TRUE(store_->PutFile(File("own"), DigestOf("own")).ok());
  ASSERT_TRUE(client().DeleteObject(Must(client().ListAll(prefix())).objects.at(0).key).ok());
  EXPECT_TRUE(store_->LinkInto(Sha256Of("own"), scratch_.path() + "/link", {}).ok());
}

// A part of a file, and a whole one: the object was verified, and the cached file was read, which may hold other bytes, or fewer.
TEST_F(S3ServerTest, ACachedFileThatWasDamagedWhileTheServerWasDownIsNotRead) {
  for (const char* damage : {"damageD", "dam"}) {
    const BlobDigest digest = DigestOf("damaged");
    ASSERT_TRUE(store_->PutFile(File("damaged"), digest).ok());
    const std::string directory = options_.cache_dir + "/sha256/";
    const std::string cached = directory + Must(ListFiles(directory)).at(0);
    store_ = nullptr;
    ASSERT_TRUE(RemoveTree(cached).ok());
    ASSERT_TRUE(WriteFileUnsynced(cached, damage).ok());
    store_ = Must(S3BlobStore::OpenAt(options_));
    ASSERT_TRUE(store_->Verify(digest, {}).ok());
    auto reader = Must(store_->Open(digest.sha256));
    ASSERT_EQ(reader->size(), digest.size_bytes) << damage;
    char end[2];
    ASSERT_TRUE(reader->ReadAt(5, 2, end).ok());
    EXPECT_EQ(std::string(end, 2), "ed");
    ASSERT_TRUE(store_->Remove(digest.sha256).ok());
  }
}

TEST_F(S3ServerTest, AbandonedUploadsAreFreedWhenTheyAreOld) {
  for (const char* made : {"sha256/ab/abcd", "damaged/abcd"}) {
    const std::string key = prefix() + made;
    const std::string upload = Must(client().CreateMultipartUpload(key));
    const std::string bytes = Noise(100);
    ASSERT_TRUE(client().UploadPart(key, upload, 1, S3Payload::Of(absl::MakeConstSpan(bytes.data(), bytes.size()))).ok());
    ASSERT_TRUE(store_->RemoveLeftovers(std::chrono::hours(24)).ok());
    EXPECT_EQ(Must(client().ListMultipartUploads(prefix())).size(), 1u);
    ASSERT_TRUE(store_->RemoveLeftovers(std::chrono::seconds(-60)).ok());
    EXPECT_TRUE(Must(client().ListMultipartUploads(prefix())).empty()) << made;
    EXPECT_TRUE(client().AbortMultipartUpload(key, upload).ok()) << "absent is fine";
  }
}

TEST_F(S3ServerTest, AGroupIsNotThePrefixOfAnother) {
  Stage("u1/a-1", "x");
  Stage("u10/a-1", "y");
  ASSERT_TRUE(store_->RemoveStaged("u1").ok());
  EXPECT_THAT(Must(store_->ListStagedGroups()), ::testing::ElementsAre("u10"));
}

TEST_F(S3ServerTest, ListingsHaveMoreThanOnePage) {
  for (int i = 0; i < 5; ++i) Stage(absl::StrCat("g", i, "/a"), "x");
  S3Client::ListRequest request{prefix() + "staging/", "", "", 2};
  size_t count = 0, pages = 0;
  do {
    const S3Listing page = Must(client().ListPage(request));
    count += page.objects.size();
    request.continuation = page.continuation;
    ++pages;
  } while (!request.continuation.empty() && pages < 10);
  EXPECT_EQ(count, 5u);
  EXPECT_EQ(pages, 3u);
}

// Against a scripted server, for what a real one does not do on demand.
class S3ScriptedStoreTest : public ::testing::Test {
 protected:
  S3BlobStore& Store(std::vector<FakeHttpServer::Answer> script) {
    script.insert(script.begin(), FakeHttpServer::Of(200, "<ListBucketResult/>"));  // OpenAt looks for the bucket
    server_ = std::make_unique<FakeHttpServer>(std::move(script));
    S3BlobStore::Options options;
    options.client.location = Must(ParseS3Url(absl::StrCat("s3://bucket?endpoint=http://127.0.0.1:", server_->port())));
    options.cache_dir = scratch_.path() + "/cache";
    store_ = Must(S3BlobStore::OpenAt(options));
    return *store_;
  }
  static FakeHttpServer::Answer Pieces(size_t size) {
    return FakeHttpServer::Of(200, absl::StrCat("<ListBucketResult><Contents><Key>staging/u/a/", PieceName(0),
                                                "</Key><Size>", size, "</Size></Contents></ListBucketResult>"));
  }

  TemporaryDirectory scratch_ = *TemporaryDirectory::Create();
  std::unique_ptr<FakeHttpServer> server_;
  std::unique_ptr<S3BlobStore> store_;
};

TEST_F(S3ScriptedStoreTest, APieceThatChangedInTheStoreIsNoticed) {
  const auto read = [&](const std::string& sent) {
    const auto piece = FakeHttpServer::Of(206, "abc", absl::StrCat("Content-Range: bytes 0-2/3\r\nx-amz-meta-sha256: ",
                                                                   ToHex(Sha256Of(sent)), "\r\n"));
    return Store({Pieces(3), piece}).ReadStaged({"u/a", 3}, [](auto) { return absl::OkStatus(); });
  };
  EXPECT_TRUE(read("abc").ok());
  EXPECT_EQ(ReasonOf(read("abd")), "DIGEST_MISMATCH");
}

TEST_F(S3ScriptedStoreTest, SmallCommitsAreCheckedHereToo) {
  const auto piece = FakeHttpServer::Of(206, "abc", "Content-Range: bytes 0-2/3\r\n");
  EXPECT_EQ(ReasonOf(Store({FakeHttpServer::Of(404, ""), Pieces(3), piece, FakeHttpServer::Of(200, "")})
                         .CommitStaged({{"u/a", 3}}, DigestOf("abd"))),
            "DIGEST_MISMATCH");
  EXPECT_EQ(server_->requests().size(), 4u) << "nothing was put";
}

// Put again with the same bytes an object has the ETag it had; and it may be put again at any moment.
TEST_F(S3ScriptedStoreTest, AnObjectThatWasPutAgainIsNotSetAside) {
  const auto head = [](const std::string& time) {
    return FakeHttpServer::Answer{absl::StrCat("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e\"\r\nLast-Modified: ", time,
                                               "\r\nConnection: close\r\n\r\n")};
  };
  const auto wrong = FakeHttpServer::Of(206, "abC", "Content-Range: bytes 0-2/3\r\n");
  const auto copied = FakeHttpServer::Of(200, "<CopyObjectResult><ETag>e</ETag></CopyObjectResult>");
  const std::vector<std::vector<FakeHttpServer::Answer>> ends = {
      {head("later")},                                         // before the copy
      {FakeHttpServer::Of(404, "")},                           // somebody else has set it aside
      {head("once"), FakeHttpServer::Of(412, "")},             // at its beginning
      {head("once"), copied, head("later")},                   // while it was made
  };
  for (const std::vector<FakeHttpServer::Answer>& end : ends) {
    std::vector<FakeHttpServer::Answer> script = {head("once"), head("once"), wrong};
    script.insert(script.end(), end.begin(), end.end());
    const size_t requests = script.size() + 1;
    S3BlobStore& store = Store(std::move(script));
    store.OnDamage([](const BlobDamage& damage) { ADD_FAILURE() << damage.kept_at; });
    EXPECT_EQ(ReasonOf(store.Verify(DigestOf("abc"), {})), "BLOB_DAMAGED");
    EXPECT_EQ(server_->requests().size(), requests) << server_->requests().back();
    for (const std::string& request : server_->requests()) {
      EXPECT_FALSE(request.starts_with("DELETE")) << request;
      if (request.starts_with("PUT")) {
        EXPECT_THAT(request, ::testing::HasSubstr("x-amz-copy-source-if-match: \"e\"\r\n"));
      }
    }
  }
}

TEST_F(S3ScriptedStoreTest, AFailedMultipartUploadIsAborted) {
  const auto upload = FakeHttpServer::Of(
      200, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>");
  const int64_t size = 9 * kMiB;  // all but the last byte of the piece: one part, copied
  EXPECT_EQ(ReasonOf(Store({FakeHttpServer::Of(404, ""), Pieces(size + 1), upload, FakeHttpServer::Of(403, ""),
                            FakeHttpServer::Of(204, "")})
                         .CommitStaged({{"u/a", size}}, {Sha256Of("any"), size})),
            "S3_ACCESS_DENIED");
  ASSERT_EQ(server_->requests().size(), 6u);
  EXPECT_TRUE(server_->requests().back().starts_with("DELETE /bucket/sha256/")) << server_->requests().back();
  EXPECT_THAT(server_->requests().back(), ::testing::HasSubstr("?uploadId=u1 HTTP/1.1"));
}

TEST_F(S3ScriptedStoreTest, ABlobOfTheWrongSizeIsTakenBack) {
  const auto upload = FakeHttpServer::Of(
      200, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>");
  const auto copied = FakeHttpServer::Of(200, "<CopyPartResult><ETag>e</ETag></CopyPartResult>");
  const auto completed = FakeHttpServer::Of(
      200, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>");
  const FakeHttpServer::Answer short_head{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"};
  const int64_t size = 9 * kMiB;
  EXPECT_EQ(ReasonOf(Store({FakeHttpServer::Of(404, ""), Pieces(size + 1), upload, copied, completed, short_head,
                            FakeHttpServer::Of(204, "")})
                         .CommitStaged({{"u/a", size}}, {Sha256Of("any"), size})),
            "DIGEST_MISMATCH");
  EXPECT_TRUE(server_->requests().back().starts_with("DELETE /bucket/sha256/")) << server_->requests().back();
}

}  // namespace
}  // namespace nashswarm::server
