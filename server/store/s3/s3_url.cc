#include "server/store/s3/s3_url.h"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::server {
namespace {

constexpr char kForm[] = "write s3://bucket/prefix?endpoint=https://host:port&region=us-east-1";

absl::Status BadUrl(std::string_view why, std::string_view hint = kForm) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_S3_URL", absl::StrCat("S3 URL: ", ToAbsl(why)), hint);
}

bool OnlyHas(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || also.find(c) != std::string_view::npos;
  });
}

bool IsLoopback(std::string_view host) {
  if (host.starts_with("[")) return host.starts_with("[::1]");
  const std::string_view name = host.substr(0, host.find(':'));
  // A name that only begins like an address ("127.evil.example") is not one.
  return name == "localhost" || (name.starts_with("127.") && name.find_first_not_of("0123456789.") == name.npos);
}

absl::Status ValidateBucket(std::string_view bucket) {
  const auto edge = [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); };
  if (bucket.size() < 3 || bucket.size() > 63 || !OnlyHas(bucket, ".-") || !edge(bucket.front()) ||
      !edge(bucket.back()) || std::any_of(bucket.begin(), bucket.end(), [](char c) { return absl::ascii_isupper(c); })) {
    return BadUrl("the bucket is not a bucket name",
                  "a bucket name has 3 to 63 lower-case letters, digits, '.' and '-'");
  }
  return absl::OkStatus();
}

absl::Status ParsePrefix(std::string_view path, std::string* prefix) {
  while (path.starts_with("/")) path.remove_prefix(1);
  while (path.ends_with("/")) path.remove_suffix(1);
  if (path.empty()) return absl::OkStatus();
  // Room for "sha256/ab/<64>" and "staging/<group>/<name>/<20>" below the 1024 bytes of a key.
  if (path.size() > 512 || !OnlyHas(path, "._/-")) return BadUrl("the prefix has other characters than [A-Za-z0-9._/-]");
  if (!ValidateRelativePath(path).ok()) return BadUrl("the prefix has an empty, '.' or '..' part");
  *prefix = absl::StrCat(ToAbsl(path), "/");
  return absl::OkStatus();
}

absl::StatusOr<bool> ParseBool(const std::string& name, const std::string& value) {
  if (value == "true") return true;
  if (value == "false") return false;
  return BadUrl(absl::StrCat(name, " must be true or false"));
}

absl::Status ParseEndpoint(std::string_view endpoint, S3Location* location) {
  if (endpoint.find('@') != std::string_view::npos) return BadUrl("credentials do not belong into the endpoint");
  const size_t colon = endpoint.find("://");
  if (colon == std::string_view::npos) return BadUrl("endpoint must begin with https:// or http://");
  location->scheme = std::string(endpoint.substr(0, colon));
  if (location->scheme != "https" && location->scheme != "http") return BadUrl("endpoint must be https or http");
  std::string_view host = endpoint.substr(colon + 3);
  if (host.ends_with("/")) host.remove_suffix(1);
  if (host.empty() || !OnlyHas(host, ".-:[]")) return BadUrl("endpoint must be a host and a port, without a path");
  // Signed as the client will send it: without the port that goes without saying.
  const std::string_view usual = location->scheme == "https" ? ":443" : ":80";
  if (host.ends_with(usual)) host.remove_suffix(usual.size());
  location->host = absl::AsciiStrToLower(ToAbsl(host));
  location->is_loopback = IsLoopback(location->host);
  return absl::OkStatus();
}

struct Parameters {
  std::string endpoint;
  bool insecure = false;
  std::optional<bool> path_style;
};

absl::Status ParseParameter(const std::string& name, const std::string& value, S3Location* location,
                            Parameters* parameters) {
  if (name == "endpoint") {
    parameters->endpoint = value;
  } else if (name == "region") {
    if (value.empty() || !OnlyHas(value, "-")) return BadUrl("region must be a name such as us-east-1");
    location->region = value;
  } else if (name == "path_style") {
    NS_ASSIGN_OR_RETURN(parameters->path_style, ParseBool(name, value));
  } else if (name == "insecure") {
    NS_ASSIGN_OR_RETURN(parameters->insecure, ParseBool(name, value));
  } else if (name == "ca_file") {
    location->ca_file = value;
  } else {
    const std::string lower = absl::AsciiStrToLower(name);
    for (const char* secret : {"key", "secret", "token", "password", "credential"}) {
      if (absl::StrContains(lower, secret)) {
        return BadUrl("credentials do not belong into the URL, which ends up in logs and process lists",
                      "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE");
      }
    }
    return BadUrl("unknown parameter", "there are endpoint, region, path_style, ca_file and insecure");
  }
  return absl::OkStatus();
}

// One profile of an INI file: "[name]", "key = value", '#' and ';' begin a comment line.
S3Credentials ParseProfile(std::string_view text, std::string_view profile) {
  S3Credentials found;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      inside = ToStd(absl::StripAsciiWhitespace(line.substr(1, line.size() - 2))) == profile;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == absl::string_view::npos) continue;
    const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, equals));
    const std::string value(absl::StripAsciiWhitespace(line.substr(equals + 1)));
    if (name == "aws_access_key_id") found.access_key = value;
    if (name == "aws_secret_access_key") found.secret_key = value;
    if (name == "aws_session_token") found.session_token = value;
  }
  return found;
}

}  // namespace

absl::StatusOr<S3Location> ParseS3Url(std::string_view url) {
  if (!url.starts_with("s3://")) return BadUrl("does not begin with s3://");
  for (const char c : url) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return BadUrl("has a space or a control character");
  }
  url.remove_prefix(5);
  const size_t question = url.find('?');
  const std::string_view place = url.substr(0, question);
  if (place.find('@') != std::string_view::npos) {
    return BadUrl("credentials do not belong into the URL, which ends up in logs and process lists",
                  "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE");
  }
  S3Location location;
  location.bucket = std::string(place.substr(0, place.find('/')));
  NS_RETURN_IF_ERROR(ValidateBucket(location.bucket));
  if (place.find('/') != std::string_view::npos) {
    NS_RETURN_IF_ERROR(ParsePrefix(place.substr(place.find('/')), &location.prefix));
  }
  Parameters parameters;
  std::set<std::string> seen;
  if (question != std::string_view::npos) {
    for (const absl::string_view one : absl::StrSplit(ToAbsl(url.substr(question + 1)), '&')) {
      const std::pair<std::string, std::string> parameter = absl::StrSplit(one, absl::MaxSplits('=', 1));
      if (!seen.insert(parameter.first).second) return BadUrl("a parameter stands twice");
      NS_RETURN_IF_ERROR(ParseParameter(parameter.first, parameter.second, &location, &parameters));
    }
  }
  location.path_style = parameters.path_style.value_or(!parameters.endpoint.empty());
  if (parameters.endpoint.empty()) {
    location.host = absl::StrCat("s3.", location.region, ".amazonaws.com");
    return location;
  }
  NS_RETURN_IF_ERROR(ParseEndpoint(parameters.endpoint, &location));
  if (location.scheme == "http" && !parameters.insecure && !location.is_loopback) {
    return BadUrl("plain http would send every byte readable",
                  "use an https endpoint, or say insecure=true where the network is trusted");
  }
  return location;
}

std::optional<std::string> ProcessEnvironment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

absl::StatusOr<S3Credentials> LoadS3Credentials(const Environment& environment) {
  const auto missing = [](std::string_view why) {
    return MakeError(absl::StatusCode::kUnauthenticated, "S3_NO_CREDENTIALS", absl::StrCat("S3: ", ToAbsl(why)),
                     "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file by AWS_SHARED_CREDENTIALS_FILE");
  };
  // They stand in the headers of requests, which one with a line break in it would tear apart.
  const auto printable = [](const S3Credentials& found) {
    return absl::c_all_of(found.access_key + found.secret_key + found.session_token,
                          [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
  };
  const auto access = environment("AWS_ACCESS_KEY_ID"), secret = environment("AWS_SECRET_ACCESS_KEY");
  if (access.has_value() != secret.has_value()) {
    return missing("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set");
  }
  if (access.has_value()) {
    const S3Credentials found{*access, *secret, environment("AWS_SESSION_TOKEN").value_or("")};
    if (!printable(found)) return missing("the credentials of the environment have a space or a control character");
    return found;
  }
  const auto file = environment("AWS_SHARED_CREDENTIALS_FILE"), home = environment("HOME");
  if (!file.has_value() && !home.has_value()) return missing("no credentials");
  const std::string path = file.value_or(home.value_or("") + "/.aws/credentials");
  const auto text = ReadFile(path, 1 << 20);
  if (!text.ok()) return missing(absl::StrCat("no credentials in the environment, and ", text.status().message()));
  const std::string profile = environment("AWS_PROFILE").value_or("default");
  S3Credentials found = ParseProfile(*text, profile);
  if (found.access_key.empty() || found.secret_key.empty()) {
    return missing(absl::StrCat(path, " has no access key and secret key under [", profile, "]"));
  }
  if (!printable(found)) return missing(absl::StrCat(path, ": a key has a space or a control character"));
  return found;
}

}  // namespace nashswarm::server
