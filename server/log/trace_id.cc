#include "server/log/trace_id.h"

#include <algorithm>

namespace nashswarm::server {
namespace {

constexpr size_t kTraceparentSize = 55;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

}  // namespace

std::string ValidTraceparent(std::string_view header) {
  if (header.size() < kTraceparentSize) return "";
  const std::string_view version = header.substr(0, 2), trace = header.substr(3, 32), parent = header.substr(36, 16),
                         flags = header.substr(53, 2);
  if (header[2] != '-' || header[35] != '-' || header[52] != '-') return "";
  if (!IsHex(version) || !IsHex(trace) || !IsHex(parent) || !IsHex(flags)) return "";
  if (version == "ff" || IsZero(trace) || IsZero(parent)) return "";
  if (header.size() > kTraceparentSize && (version == "00" || header[kTraceparentSize] != '-')) return "";
  return std::string(header.substr(0, kTraceparentSize));
}

}  // namespace nashswarm::server
