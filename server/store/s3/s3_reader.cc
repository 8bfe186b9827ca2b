#include "server/store/s3/s3_reader.h"

#include <algorithm>
#include <cstring>

#include "core/base/status.h"

namespace nashswarm::server {
namespace {

// A round trip to S3 takes as long as some MiB: from there on larger requests gain little.
constexpr int64_t kMinWindow = 256 << 10, kMaxWindow = 8 << 20;

}  // namespace

absl::Status S3Reader::Get(int64_t offset, int64_t size, char* out) {
  return client_->GetObject(key_, offset, size, [&](absl::Span<const char> bytes) {
    std::memcpy(out, bytes.data(), bytes.size());
    out += bytes.size();
    return absl::OkStatus();
  });
}

absl::Status S3Reader::ReadAt(int64_t offset, int64_t size, char* out) {
  const auto buffered = static_cast<int64_t>(buffer_.size());
  if (offset >= buffer_offset_ && offset < buffer_offset_ + buffered) {
    const int64_t take = std::min(size, buffer_offset_ + buffered - offset);
    std::memcpy(out, buffer_.data() + (offset - buffer_offset_), static_cast<size_t>(take));
    offset += take;
    out += take;
    size -= take;
  }
  if (size == 0) return absl::OkStatus();
  const bool follows = offset == buffer_offset_ + buffered;
  window_ = follows ? std::clamp(window_ * 2, kMinWindow, kMaxWindow) : kMinWindow;
  if (size >= window_) {
    buffer_.clear();
    buffer_offset_ = offset + size;
    return Get(offset, size, out);
  }
  std::string ahead(static_cast<size_t>(std::min(window_, size_ - offset)), '\0');
  NS_RETURN_IF_ERROR(Get(offset, static_cast<int64_t>(ahead.size()), ahead.data()));
  std::memcpy(out, ahead.data(), static_cast<size_t>(size));
  buffer_ = std::move(ahead);
  buffer_offset_ = offset;
  return absl::OkStatus();
}

}  // namespace nashswarm::server
