// W3C trace context (https://www.w3.org/TR/trace-context): the header traceparent, "VERSION-TRACEID-PARENTID-FLAGS" in hex.
#ifndef NASHSWARM_SERVER_LOG_TRACE_ID_H_
#define NASHSWARM_SERVER_LOG_TRACE_ID_H_

#include <string>
#include <string_view>

namespace nashswarm::server {

// The first four fields as they are, or "" for what the standard says to ignore: another form, capitals, ids of zeros,
// version ff. Later versions may have more fields, which are dropped.
std::string ValidTraceparent(std::string_view header);

// The 32 digits that logs of other services show too. `traceparent` is valid.
inline std::string TraceId(std::string_view traceparent) { return std::string(traceparent.substr(3, 32)); }

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_LOG_TRACE_ID_H_
