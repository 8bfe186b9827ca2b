#include "client/cli/hub/hub.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "client/cli/checkpoint_files.h"
#include "client/cli/errors.h"
#include "client/cli/files.h"
#include "client/cli/hub/hub_cache.h"
#include "client/cli/hub/hub_http.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {
namespace {

struct HubFile {
  std::string name, etag;
  int64_t size = 0;
};

std::string Escape(const std::string& text, bool keep_slash) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string escaped;
  for (const unsigned char c : text) {
    if (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~' || (keep_slash && c == '/')) {
      escaped += static_cast<char>(c);
    } else {
      escaped += {'%', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  return escaped;
}

// '"abc"' and 'W/"abc"' are both abc.
std::string BareEtag(std::string etag) {
  if (etag.rfind("W/", 0) == 0) etag.erase(0, 2);
  etag.erase(std::remove(etag.begin(), etag.end(), '"'), etag.end());
  return etag;
}

absl::Status Unexpected(const std::string& what) {
  return MakeError(absl::StatusCode::kInternal, "HUB_UNEXPECTED_ANSWER", what,
                   "check HF_ENDPOINT: it must serve the hub's layout of URLs");
}

class Download {
 public:
  Download(const HubName& name, const HubSettings& settings, Interrupt& interrupt, Progress& progress)
      : name_(name), http_(settings, interrupt), cache_(settings, name.repository), interrupt_(interrupt),
        progress_(progress) {}

  absl::StatusOr<std::string> Run() {
    if (http_.settings().offline) return FromCache();
    std::vector<std::string> names;
    const absl::Status listed = ListFiles(&names);
    if (ReasonOf(listed) == "HUB_UNREACHABLE" || ReasonOf(listed) == "HUB_UNAVAILABLE") {
      const auto cached = FromCache();
      if (!cached.ok()) return listed;
      progress_.Note("the hub does not answer; using what was downloaded before");
      return cached;
    }
    NS_RETURN_IF_ERROR(listed);
    std::vector<HubFile> files;
    for (const std::string& file : names) {
      NS_ASSIGN_OR_RETURN(HubFile described, Describe(file));
      files.push_back(std::move(described));
    }
    NS_RETURN_IF_ERROR(Plan(files));
    for (const HubFile& file : files) {
      NS_RETURN_IF_ERROR(Fetch(file));
      NS_RETURN_IF_ERROR(cache_.AddToSnapshot(commit_, file.name, file.etag));
    }
    if (total_ > 0) progress_.Done();
    NS_RETURN_IF_ERROR(cache_.RememberCommit(name_.revision, commit_));
    return cache_.SnapshotOf(commit_);
  }

 private:
  absl::StatusOr<std::string> FromCache() {
    const std::string commit = cache_.CommitOf(name_.revision);
    const std::string directory = cache_.SnapshotOf(commit);
    if (!commit.empty() && SelectFiles(directory).ok()) return directory;
    return MakeError(absl::StatusCode::kNotFound, "HUB_NOT_CACHED",
                     name_.repository + "@" + name_.revision + " was not downloaded before, and HF_HUB_OFFLINE is set",
                     "unset HF_HUB_OFFLINE, or name a directory");
  }

  // The commit, and the names of the files that make up the checkpoint.
  absl::Status ListFiles(std::vector<std::string>* names) {
    const std::string path =
        "/api/models/" + name_.repository + "/revision/" + Escape(name_.revision, /*keep_slash=*/false);
    std::string body;
    NS_RETURN_IF_ERROR(Insist(name_.repository, [&] { return http_.GetText(path, &body); }).status());
    const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("sha") || !json["sha"].is_string() || !json.contains("siblings") ||
        !json["siblings"].is_array()) {
      return Unexpected("the hub's description of " + name_.repository + " has no commit or no files");
    }
    commit_ = json["sha"];
    if (!IsPlainName(commit_)) return Unexpected("the hub names a commit '" + commit_ + "'");
    bool has_pickle = false;
    std::string gguf;
    std::set<std::string> wanted;
    for (const auto& entry : json["siblings"]) {
      if (!entry.is_object() || !entry.contains("rfilename") || !entry["rfilename"].is_string()) continue;
      const std::string file = entry["rfilename"];
      if (file.empty() || file.front() == '.' || !IsPlaceOfCheckpoint(file)) continue;
      const FileKind kind = ClassifyFile(file);
      has_pickle |= kind == FileKind::kPickle;
      if (kind == FileKind::kWanted) wanted.insert(file);
      if (absl::EndsWithIgnoreCase(file, ".gguf")) gguf = file;
    }
    *names = WithoutSecondCopy({wanted.begin(), wanted.end()});
    return CheckWeights(*names, has_pickle, gguf);
  }

  absl::Status CheckWeights(const std::vector<std::string>& names, bool has_pickle, const std::string& gguf) {
    if (std::any_of(names.begin(), names.end(), IsSafetensors)) return absl::OkStatus();
    if (!gguf.empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "GGUF_AS_SOURCE",
                       name_.repository + " holds GGUF files (" + gguf + "), which are no source to compress",
                       "name the repository of the original safetensors checkpoint; its model card says which that is");
    }
    return MakeError(absl::StatusCode::kNotFound, "NO_WEIGHTS",
                     "there are no *.safetensors weights in " + name_.repository + (has_pickle ? ", only pickles" : ""),
                     has_pickle ? "loading a pickle runs its code; look for a branch or a copy with safetensors"
                                : "name a repository that holds a checkpoint");
  }

  absl::StatusOr<HubFile> Describe(const std::string& file) {
    NS_ASSIGN_OR_RETURN(const HubResponse response,
                        Insist(name_.repository + ": " + file, [&] { return http_.Head(PathOf(file)); }));
    HubFile described{file, BareEtag(response.Header("x-linked-etag")), 0};
    if (described.etag.empty()) described.etag = BareEtag(response.Header("etag"));
    std::string size = response.Header("x-linked-size");
    if (size.empty()) size = response.Header("content-length");
    described.size = std::atoll(size.c_str());
    if (!IsPlainName(described.etag) || size.empty() || described.size < 0) {
      return Unexpected("the hub does not say which content " + file + " of " + name_.repository + " has");
    }
    return described;
  }

  std::string PathOf(const std::string& file) const {
    return "/" + name_.repository + "/resolve/" + commit_ + "/" + Escape(file, /*keep_slash=*/true);
  }

  absl::Status Plan(const std::vector<HubFile>& files) {
    int64_t missing = 0;
    std::set<std::string> counted;  // files of equal content are one
    for (const HubFile& file : files) {
      if (FileExists(cache_.BlobOf(file.etag)) || !counted.insert(file.etag).second) continue;
      total_ += file.size;
      missing += file.size - PartSize(file);
    }
    return cache_.CheckSpace(missing);
  }

  std::string PartOf(const HubFile& file) const { return cache_.BlobOf(file.etag) + ".incomplete"; }
  int64_t PartSize(const HubFile& file) const {
    const auto size = FileSize(PartOf(file));
    return size.ok() && *size <= file.size ? *size : 0;
  }

  absl::Status Fetch(const HubFile& file) {
    const std::string blob = cache_.BlobOf(file.etag), part = PartOf(file);
    if (FileExists(blob)) return absl::OkStatus();
    NS_RETURN_IF_ERROR(MakeDirectories(ParentOf(blob)));
    NS_ASSIGN_OR_RETURN(const UniqueFd lock, cache_.Lock(file.etag, interrupt_));
    if (FileExists(blob)) return absl::OkStatus();  // somebody else has it by now
    const UniqueFd fd(open(part.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    if (fd.get() < 0) return ErrnoError(errno, part);
    // A part that another program has left may be of other content: then once more, from the beginning.
    for (bool resumed = PartSize(file) > 0;; resumed = false) {
      NS_RETURN_IF_ERROR(Receive(file, fd.get(), resumed ? PartSize(file) : 0));
      const absl::Status checked = CheckContent(part, file.etag, interrupt_);
      if (checked.ok()) break;
      if (ReasonOf(checked) != "HUB_CORRUPT" || !resumed) {
        if (ReasonOf(checked) == "HUB_CORRUPT") unlink(part.c_str());
        return Annotate(checked, name_.repository + ": " + file.name);
      }
    }
    NS_RETURN_IF_ERROR(CommitFile(fd.get(), part, blob));
    done_ += file.size;
    return absl::OkStatus();
  }

  // Fills the part up to the file's size, over as many connections as it takes.
  absl::Status Receive(const HubFile& file, int fd, int64_t have) {
    HubPatience patience(interrupt_);
    while (true) {
      if (ftruncate(fd, have) != 0 || lseek(fd, have, SEEK_SET) < 0) return ErrnoError(errno, PartOf(file));
      if (have == file.size) return absl::OkStatus();
      const int64_t before = have;
      bool placed = false;
      const auto sink = [&](const HubResponse& response, std::string_view bytes) -> absl::Status {
        if (!placed) NS_RETURN_IF_ERROR(Place(file, fd, response, &have));
        placed = true;
        if (have + static_cast<int64_t>(bytes.size()) > file.size) {
          return Unexpected("more comes of " + file.name + " than the " + std::to_string(file.size) + " bytes it has");
        }
        NS_RETURN_IF_ERROR(WriteAll(fd, bytes, PartOf(file)));
        have += static_cast<int64_t>(bytes.size());
        progress_.Update({.stage = "download", .done = done_ + have, .total = total_, .detail = file.name});
        return absl::OkStatus();
      };
      const auto response = http_.Get(PathOf(file.name), have, sink);
      if (have == file.size) continue;
      if (have > before) patience.Moved();
      absl::Status status = response.status();
      if (response.ok() && response->status == 416) {
        have = 0;  // the server has less than we: it is not the same
        status = Unexpected("the hub refuses byte " + std::to_string(before) + " of " + file.name);
      } else if (response.ok() && response->status / 100 == 2) {
        status = Unexpected(file.name + " ends at byte " + std::to_string(have) + " of " + std::to_string(file.size));
      } else if (response.ok()) {
        status = HubError(*response, name_.repository + ": " + file.name, http_.settings());
        if (!IsTransient(response->status)) return status;
      } else if (ReasonOf(status) != "HUB_UNREACHABLE") {
        return status;
      }
      NS_RETURN_IF_ERROR(patience.Wait(status, response.ok() ? &*response : nullptr));
    }
  }

  // Before the first bytes of an answer: they follow what is there, or begin the file.
  absl::Status Place(const HubFile& file, int fd, const HubResponse& response, int64_t* have) {
    const std::string range = response.Header("content-range");
    if (response.status == 206 && range.rfind("bytes " + std::to_string(*have) + "-", 0) == 0) return absl::OkStatus();
    if (response.status == 206) return Unexpected("the hub sends another part of " + file.name + ": " + range);
    *have = 0;
    if (ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) < 0) return ErrnoError(errno, PartOf(file));
    return absl::OkStatus();
  }

  // A small request, again while its failure is a passing one.
  template <typename Request>
  absl::StatusOr<HubResponse> Insist(const std::string& what, const Request& request) {
    HubPatience patience(interrupt_);
    while (true) {
      absl::StatusOr<HubResponse> response = request();
      if (response.ok() && response->status / 100 < 4) return response;
      const bool passing = response.ok() ? IsTransient(response->status) : ReasonOf(response.status()) == "HUB_UNREACHABLE";
      const absl::Status status = response.ok() ? HubError(*response, what, http_.settings()) : response.status();
      if (!passing) return status;
      NS_RETURN_IF_ERROR(patience.Wait(status, response.ok() ? &*response : nullptr));
    }
  }

  const HubName name_;
  HubHttp http_;
  HubCache cache_;
  Interrupt& interrupt_;
  Progress& progress_;
  std::string commit_;
  int64_t done_ = 0, total_ = 0;  // bytes of the files that were missing
};

}  // namespace

absl::StatusOr<std::string> FetchFromHub(const HubName& name, const HubSettings& settings, Interrupt& interrupt,
                                         Progress& progress) {
  return Download(name, settings, interrupt, progress).Run();
}

}  // namespace nashswarm::cli
