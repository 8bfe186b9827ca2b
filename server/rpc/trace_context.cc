#include "server/rpc/trace_context.h"

#include <iterator>

namespace nashswarm::server {

std::string TraceparentOf(const grpc::ServerContext& call) {
  const auto [begin, end] = call.client_metadata().equal_range("traceparent");
  if (begin == end || std::next(begin) != end) return "";
  return ValidTraceparent(std::string_view(begin->second.data(), begin->second.size()));
}

}  // namespace nashswarm::server
