#include "server/store/s3/s3_blob_store.h"

#include <algorithm>
#include <ctime>

#include "absl/strings/ascii.h"
#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "server/store/checked_reader.h"
#include "server/store/s3/s3_reader.h"
#include "server/store/s3/staged_writer.h"

namespace nashswarm::server {
namespace {

// Removing waits for the network, not for this machine.
constexpr int kRemovals = 8;
constexpr int64_t kBetweenBytes = 64 << 20;

}  // namespace

S3BlobStore::S3BlobStore(Options options) : options_(std::move(options)), client_(options_.client) {}

absl::StatusOr<std::unique_ptr<S3BlobStore>> S3BlobStore::OpenAt(Options options) {
  std::unique_ptr<S3BlobStore> store(new S3BlobStore(std::move(options)));
  NS_RETURN_IF_ERROR(store->client_.ListPage({store->client_.location().prefix, "", "", 1}).status());
  S3BlobStore* const self = store.get();
  NS_ASSIGN_OR_RETURN(store->cache_,
                      BlobCache::OpenAt(self->options_.cache_dir, self->options_.cache_bytes,
                                        [self](const std::string& sha256, const ByteSink& sink) {
                                          return self->Download(sha256, sink);
                                        },
                                        [self](const BlobDamage& damage) { self->TellOfDamage(damage); }));
  return store;
}

std::string S3BlobStore::KeyOf(const std::string& sha256) const {
  const std::string hex = ToHex(sha256);
  return absl::StrCat(client_.location().prefix, "sha256/", hex.substr(0, 2), "/", hex);
}

absl::StatusOr<std::string> S3BlobStore::StagedPrefixOf(const std::string& key) const {
  NS_RETURN_IF_ERROR(ValidateRelativePath(key));
  for (const char c : key) {
    if (!absl::ascii_islower(static_cast<unsigned char>(c)) && !absl::ascii_isdigit(static_cast<unsigned char>(c)) &&
        c != '-' && c != '/') {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_PATH", "a staging key has only [a-z0-9-]");
    }
  }
  return absl::StrCat(client_.location().prefix, "staging/", key, "/");
}

absl::StatusOr<bool> S3BlobStore::Has(const std::string& sha256) {
  const absl::Status status = client_.HeadObject(KeyOf(sha256)).status();
  if (ReasonOf(status) == "BLOB_NOT_FOUND") return false;
  NS_RETURN_IF_ERROR(status);
  return true;
}

absl::Status S3BlobStore::Download(const std::string& sha256, const ByteSink& sink) {
  const std::string key = KeyOf(sha256);
  NS_ASSIGN_OR_RETURN(const int64_t size, client_.HeadObject(key));
  return client_.GetObject(key, 0, size, sink);
}

absl::Status S3BlobStore::LinkInto(const std::string& sha256, const std::string& path, const Between& between) {
  const absl::Status linked = cache_->LinkInto(sha256, path, between);
  if (!absl::IsDataLoss(linked)) return linked;
  // Damaged on its way, or in the store: a second look tells.
  NS_RETURN_IF_ERROR(VerifyStored(sha256, std::nullopt, between));
  return cache_->LinkInto(sha256, path, between);
}

absl::Status S3BlobStore::Verify(const BlobDigest& digest, const Between& between) {
  NS_ASSIGN_OR_RETURN(const bool known, IsStored(digest));
  return known ? absl::OkStatus() : VerifyStored(digest.sha256, digest.size_bytes, between);
}

absl::Status S3BlobStore::VerifyStored(const std::string& sha256, std::optional<int64_t> size, const Between& between) {
  const std::string key = KeyOf(sha256);
  NS_ASSIGN_OR_RETURN(const S3Client::State state, client_.StatObject(key));
  absl::Status status;
  if (size.has_value() && *size != state.size_bytes) {
    status = DamagedError(sha256, absl::StrCat("it has ", state.size_bytes, " of ", *size, " bytes"));
  } else {
    Sha256 hash;
    int64_t unasked = 0;
    status = client_.GetObject(key, 0, state.size_bytes, [&](absl::Span<const char> bytes) {
      hash.Update(bytes.data(), bytes.size());
      unasked += static_cast<int64_t>(bytes.size());
      if (!between || unasked < kBetweenBytes) return absl::OkStatus();
      unasked = 0;
      return between();
    });
    if (const std::string actual = hash.Finish(); status.ok() && actual != sha256) {
      status = DamagedError(sha256, absl::StrCat("its content is sha256:", ToHex(actual)));
    }
  }
  if (absl::IsDataLoss(status)) NS_RETURN_IF_ERROR(SetAside(sha256, state, status));
  if (status.ok()) Remember(sha256, state);
  return status;
}

absl::StatusOr<bool> S3BlobStore::IsStill(const std::string& key, const S3Client::State& state) {
  const absl::StatusOr<S3Client::State> now = client_.StatObject(key);
  if (ReasonOf(now.status()) == "BLOB_NOT_FOUND") return false;
  NS_RETURN_IF_ERROR(now.status());
  return *now == state;
}

absl::Status S3BlobStore::SetAside(const std::string& sha256, const S3Client::State& bad, const absl::Status& damage) {
  const std::string key = KeyOf(sha256), kept = absl::StrCat(client_.location().prefix, "damaged/", ToHex(sha256));
  NS_ASSIGN_OR_RETURN(const bool there, IsStill(key, bad));
  if (!there) return absl::OkStatus();  // others were faster
  const absl::Status copied = Copy(key, bad, kept);
  if (ReasonOf(copied) == "S3_PRECONDITION_FAILED" || ReasonOf(copied) == "BLOB_NOT_FOUND") return absl::OkStatus();
  NS_RETURN_IF_ERROR(copied);
  // A large copy takes minutes. Not every server deletes on a condition, so a moment stays between the look and the end.
  NS_ASSIGN_OR_RETURN(const bool still_there, IsStill(key, bad));
  if (!still_there) return absl::OkStatus();
  NS_RETURN_IF_ERROR(client_.DeleteObject(key));
  TellOfDamage({sha256, std::string(damage.message()), kept});
  return absl::OkStatus();
}

bool S3BlobStore::Knows(const std::string& sha256, const S3Client::State& state) {
  std::lock_guard<std::mutex> lock(verified_mutex_);
  const auto found = verified_.find(sha256);
  return found != verified_.end() && !state.etag.empty() && found->second.etag == state.etag &&
         found->second.size_bytes == state.size_bytes;
}

void S3BlobStore::Remember(const std::string& sha256, const S3Client::State& state) {
  std::lock_guard<std::mutex> lock(verified_mutex_);
  verified_[sha256] = state;
}

absl::StatusOr<std::unique_ptr<BlobReader>> S3BlobStore::Open(const std::string& sha256) {
  if (auto cached = cache_->Open(sha256); cached.ok()) return cached;
  const std::string key = KeyOf(sha256);
  NS_ASSIGN_OR_RETURN(const S3Client::State state, client_.StatObject(key));
  auto reader = std::make_unique<S3Reader>(&client_, key, state.size_bytes);
  if (Knows(sha256, state)) return reader;
  return std::make_unique<CheckedReader>(std::move(reader), sha256, [this, sha256, state](const absl::Status& end) {
    if (end.ok()) return Remember(sha256, state);
    SetAside(sha256, state, end).IgnoreError();  // whoever reads it again meets it again
  });
}

absl::Status S3BlobStore::Remove(const std::string& sha256) {
  NS_RETURN_IF_ERROR(client_.DeleteObject(KeyOf(sha256)));
  cache_->Remove(sha256);
  std::lock_guard<std::mutex> lock(verified_mutex_);
  verified_.erase(sha256);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<StagedWriter>> S3BlobStore::CreateStaged(const std::string& key) {
  NS_ASSIGN_OR_RETURN(const std::string prefix, StagedPrefixOf(key));
  NS_ASSIGN_OR_RETURN(const S3Listing there, client_.ListPage({prefix, "", "", 1}));
  if (!there.objects.empty()) {
    return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", absl::StrCat("staging key ", key, " is used"));
  }
  return std::make_unique<S3StagedWriter>(&client_, prefix);
}

absl::Status S3BlobStore::ReadStaged(const StagedPart& part,
                                     const std::function<absl::Status(absl::Span<const char>)>& sink) {
  NS_ASSIGN_OR_RETURN(const std::vector<Slice> slices, SlicesOfPart(part));
  for (const Slice& slice : slices) NS_RETURN_IF_ERROR(ReadSlice(slice, sink));
  return absl::OkStatus();
}

absl::Status S3BlobStore::RemoveStaged(const std::string& key) {
  NS_ASSIGN_OR_RETURN(const std::string prefix, StagedPrefixOf(key));
  NS_ASSIGN_OR_RETURN(const S3Listing there, client_.ListAll(prefix));
  return ParallelFor(kRemovals, there.objects.size(),
                     [&](uint64_t i) { return client_.DeleteObject(there.objects[i].key); });
}

absl::StatusOr<std::vector<std::string>> S3BlobStore::ListStagedGroups() {
  const std::string prefix = client_.location().prefix + "staging/";
  NS_ASSIGN_OR_RETURN(const S3Listing listing, client_.ListAll(prefix, "/"));
  std::vector<std::string> groups;
  for (const std::string& group : listing.common_prefixes) {
    if (group.size() > prefix.size() + 1) {
      groups.push_back(group.substr(prefix.size(), group.size() - prefix.size() - 1));
    }
  }
  return groups;
}

absl::Status S3BlobStore::RemoveLeftovers(std::chrono::seconds older_than) {
  NS_RETURN_IF_ERROR(cache_->RemoveLeftovers(older_than));
  const int64_t before = static_cast<int64_t>(std::time(nullptr)) - older_than.count();
  for (const char* made : {"sha256/", "damaged/"}) {
    NS_ASSIGN_OR_RETURN(const std::vector<S3Upload> uploads,
                        client_.ListMultipartUploads(client_.location().prefix + made));
    for (const S3Upload& upload : uploads) {
      if (upload.initiated_unix_seconds == 0 || upload.initiated_unix_seconds > before) continue;
      NS_RETURN_IF_ERROR(client_.AbortMultipartUpload(upload.key, upload.upload_id));
    }
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::server
