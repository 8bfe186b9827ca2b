// One request before it is signed. Only for s3_client*.cc.
#ifndef NASHSWARM_SERVER_STORE_S3_S3_CALL_H_
#define NASHSWARM_SERVER_STORE_S3_S3_CALL_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "server/store/s3/s3_client.h"

namespace nashswarm::server {

// Copying and completing on the server may be silent for minutes before they answer.
inline constexpr std::chrono::seconds kSilenceOfCopies{600};

inline constexpr char kCopySourceIfMatch[] = "x-amz-copy-source-if-match";

inline std::string RangeOf(int64_t begin, int64_t end) { return absl::StrCat("bytes=", begin, "-", end - 1); }

struct S3Client::Call {
  std::string method, key;  // key "": the bucket
  NameValues query, headers;
  S3Payload payload;
  // GET: [begin, end) goes through `sink`.
  ByteSink sink;
  int64_t begin = 0, end = 0;
  const char* result_root = nullptr;  // the answer's root element, when a 200 may yet be an <Error>
  std::chrono::seconds silence{0};    // 0: the client's
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_S3_S3_CALL_H_
