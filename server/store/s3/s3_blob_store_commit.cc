// S3BlobStore: how bytes become a blob.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/parallel.h"
#include "core/base/status.h"
#include "server/store/file_blob_reader.h"
#include "server/store/s3/s3_blob_store.h"

namespace nashswarm::server {
namespace {

// Parts of one blob on their way at a time: several connections are faster than one, and a part copied by the server
// takes its time whoever waits.
constexpr int kParallelParts = 4;
// Below this a blob is read and checked, rather than put together by the server: one request of this size takes about as
// long as creating, copying and completing.
constexpr int64_t kReadWholeBytes = 8 << 20;
constexpr int64_t kMaxCopyBytes = int64_t{5} << 30;

absl::Status WrongSize(const BlobDigest& digest, int64_t size) {
  return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                   absl::StrCat("blob sha256:", ToHex(digest.sha256), " has ", size, " bytes instead of ",
                                digest.size_bytes),
                   "send the file again");
}

absl::Span<const char> SpanOf(const std::string& bytes) { return absl::MakeConstSpan(bytes.data(), bytes.size()); }

}  // namespace

absl::StatusOr<bool> S3BlobStore::IsStored(const BlobDigest& digest) {
  const auto state = client_.StatObject(KeyOf(digest.sha256));
  if (ReasonOf(state.status()) == "BLOB_NOT_FOUND") return false;
  NS_RETURN_IF_ERROR(state.status());
  return state->size_bytes == digest.size_bytes && Knows(digest.sha256, *state);
}

absl::Status S3BlobStore::RememberStored(const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const S3Client::State state, client_.StatObject(KeyOf(digest.sha256)));
  if (state.size_bytes == digest.size_bytes) Remember(digest.sha256, state);
  return absl::OkStatus();
}

absl::Status S3BlobStore::Copy(const std::string& from, const S3Client::State& state, const std::string& to) {
  const int64_t size = state.size_bytes;
  if (size <= kMaxCopyBytes) return client_.CopyObject(to, from, state.etag);
  const auto count = static_cast<uint64_t>((size + kMaxCopyBytes - 1) / kMaxCopyBytes);
  return PutInParts(to, count, [&](const std::string& key, const std::string& upload, uint64_t i) {
    const int64_t begin = static_cast<int64_t>(i) * kMaxCopyBytes;
    return client_.UploadPartCopy(key, upload, static_cast<int>(i) + 1, from, begin, std::min(kMaxCopyBytes, size - begin),
                                  state.etag);
  });
}

absl::Status S3BlobStore::PutFile(const std::string& path, const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const bool stored, IsStored(digest));
  if (!stored) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) return ErrnoError(errno, path);
    const absl::Status sent = SendFile(file, path, digest);
    close(file);
    NS_RETURN_IF_ERROR(sent);
    NS_RETURN_IF_ERROR(RememberStored(digest));
  }
  // The bytes are at hand: the next task that needs them here need not download them.
  return cache_->Adopt(digest.sha256, path);
}

absl::Status S3BlobStore::SendFile(int file, const std::string& path, const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const uint64_t size, FileSize(path));
  if (static_cast<int64_t>(size) != digest.size_bytes) return WrongSize(digest, static_cast<int64_t>(size));
  if (digest.size_bytes <= options_.part_bytes) {
    return client_.PutObject(KeyOf(digest.sha256), {{}, file, 0, digest.size_bytes, digest.sha256});
  }
  const int64_t part_bytes = std::max(options_.part_bytes, (digest.size_bytes + kMaxParts - 1) / kMaxParts);
  const int64_t count = (digest.size_bytes + part_bytes - 1) / part_bytes;
  return PutBlobInParts(digest, static_cast<uint64_t>(count), [&](const std::string& key, const std::string& upload,
                                                              uint64_t i) -> absl::StatusOr<S3Part> {
    const int64_t begin = static_cast<int64_t>(i) * part_bytes;
    const int64_t part_size = std::min(part_bytes, digest.size_bytes - begin);
    // The signature comes before the bytes, so they are read twice: the second time from the page cache.
    Sha256 hash;
    std::string buffer(1 << 20, '\0');
    for (int64_t offset = 0; offset < part_size;) {
      const int64_t step = std::min(part_size - offset, static_cast<int64_t>(buffer.size()));
      NS_RETURN_IF_ERROR(ReadExactly(file, begin + offset, step, buffer.data(), path));
      hash.Update(buffer.data(), static_cast<uint64_t>(step));
      offset += step;
    }
    return client_.UploadPart(key, upload, static_cast<int>(i) + 1, {{}, file, begin, part_size, hash.Finish()});
  });
}

absl::Status S3BlobStore::PutInParts(const std::string& key, uint64_t count, const MakePart& make_part) {
  NS_ASSIGN_OR_RETURN(const std::string upload, client_.CreateMultipartUpload(key));
  std::vector<S3Part> parts(count);
  absl::Status status = ParallelFor(kParallelParts, count, [&](uint64_t i) -> absl::Status {
    NS_ASSIGN_OR_RETURN(parts[i], make_part(key, upload, i));
    return absl::OkStatus();
  });
  if (status.ok()) status = client_.CompleteMultipartUpload(key, upload, parts);
  if (!status.ok()) {
    client_.AbortMultipartUpload(key, upload).IgnoreError();  // RemoveLeftovers will
  }
  return status;
}

absl::Status S3BlobStore::PutBlobInParts(const BlobDigest& digest, uint64_t count, const MakePart& make_part) {
  const std::string key = KeyOf(digest.sha256);
  NS_RETURN_IF_ERROR(PutInParts(key, count, make_part));
  NS_ASSIGN_OR_RETURN(const int64_t size, client_.HeadObject(key));
  if (size == digest.size_bytes) return absl::OkStatus();
  NS_RETURN_IF_ERROR(client_.DeleteObject(key));
  return WrongSize(digest, size);
}

absl::StatusOr<std::vector<Slice>> S3BlobStore::SlicesOfPart(const StagedPart& part) {
  NS_ASSIGN_OR_RETURN(const std::string prefix, StagedPrefixOf(part.key));
  NS_ASSIGN_OR_RETURN(const S3Listing listing, client_.ListAll(prefix));
  return SlicesOf(prefix, listing.objects, part.size_bytes);
}

absl::Status S3BlobStore::ReadSlice(const Slice& slice, const ByteSink& sink) {
  Sha256 hash;
  std::string sent_hex;
  NS_RETURN_IF_ERROR(client_.GetObject(
      slice.key, slice.begin, slice.size(),
      [&](absl::Span<const char> bytes) {
        hash.Update(bytes.data(), bytes.size());
        return sink(bytes);
      },
      &sent_hex));
  if (slice.IsWhole() && !sent_hex.empty() && sent_hex != ToHex(hash.Finish())) {
    return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat("S3 ", slice.key, ": not the bytes that were sent"), "send the file again");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> S3BlobStore::ReadSlices(absl::Span<const Slice> slices) {
  std::string bytes;
  for (const Slice& slice : slices) {
    NS_RETURN_IF_ERROR(ReadSlice(slice, [&](absl::Span<const char> more) {
      bytes.append(more.data(), more.size());
      return absl::OkStatus();
    }));
  }
  return bytes;
}

absl::Status S3BlobStore::CommitStaged(absl::Span<const StagedPart> parts, const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const bool stored, IsStored(digest));
  if (stored) return absl::OkStatus();
  std::vector<Slice> slices;
  int64_t size = 0;
  for (const StagedPart& part : parts) {
    NS_ASSIGN_OR_RETURN(const std::vector<Slice> more, SlicesOfPart(part));
    slices.insert(slices.end(), more.begin(), more.end());
    size += part.size_bytes;
  }
  if (size != digest.size_bytes) return WrongSize(digest, size);
  NS_RETURN_IF_ERROR(size <= kReadWholeBytes ? CommitSmall(slices, digest) : CommitLarge(slices, digest));
  return RememberStored(digest);
}

absl::Status S3BlobStore::CommitSmall(absl::Span<const Slice> slices, const BlobDigest& digest) {
  NS_ASSIGN_OR_RETURN(const std::string bytes, ReadSlices(slices));
  if (Sha256Of(bytes) != digest.sha256) {
    return MakeError(absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
                     absl::StrCat("staged bytes are not sha256:", ToHex(digest.sha256)), "send the file again");
  }
  return client_.PutObject(KeyOf(digest.sha256), {SpanOf(bytes), -1, 0, 0, digest.sha256});
}

absl::Status S3BlobStore::CommitLarge(absl::Span<const Slice> slices, const BlobDigest& digest) {
  if (slices.size() == 1 && slices[0].IsWhole() && slices[0].size() <= kMaxCopyBytes) {
    return client_.CopyObject(KeyOf(digest.sha256), slices[0].key);
  }
  const std::vector<PlannedPart> plan = PlanParts(slices);
  return PutBlobInParts(digest, plan.size(), [&](const std::string& key, const std::string& upload,
                                             uint64_t i) -> absl::StatusOr<S3Part> {
    const int number = static_cast<int>(i) + 1;
    const Slice& first = plan[i].slices.front();
    if (plan[i].copied) return client_.UploadPartCopy(key, upload, number, first.key, first.begin, first.size());
    NS_ASSIGN_OR_RETURN(const std::string bytes, ReadSlices(plan[i].slices));
    return client_.UploadPart(key, upload, number, S3Payload::Of(SpanOf(bytes)));
  });
}

}  // namespace nashswarm::server
