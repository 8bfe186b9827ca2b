#include "core/capi/nashswarm.h"

#include <exception>
#include <new>
#include <optional>
#include <string>

#include "core/artifact/nsq_artifact.h"
#include "core/base/status.h"
#include "core/checkpoint/dtype.h"

using nashswarm::MakeError;
using nashswarm::artifact::NsqTensor;
using nashswarm::checkpoint::DType;

struct nashswarm_nsq {
  std::string directory;
  nashswarm::artifact::OpenNsq open;
};

namespace {

struct LastError {
  nashswarm_status status = NASHSWARM_OK;
  std::string reason, message, hint;
};
thread_local LastError last_error;

nashswarm_status Fail(const absl::Status& status) {
  last_error.status = static_cast<nashswarm_status>(status.code());
  last_error.reason = nashswarm::ReasonOf(status);
  last_error.message = std::string(status.message());
  last_error.hint = nashswarm::HintOf(status);
  return last_error.status;
}

// Takes no memory: short strings need none.
nashswarm_status FailWithoutMemory() noexcept {
  last_error.status = NASHSWARM_RESOURCE_EXHAUSTED;
  last_error.reason.clear();
  last_error.message = "out of memory";
  last_error.hint.clear();
  return last_error.status;
}

// No exception leaves the library.
template <typename Body>
nashswarm_status Guarded(const Body& body) noexcept {
  try {
    const absl::Status status = body();
    return status.ok() ? NASHSWARM_OK : Fail(status);
  } catch (const std::bad_alloc&) {
    return FailWithoutMemory();
  } catch (const std::exception& error) {
    try {
      return Fail(MakeError(absl::StatusCode::kInternal, "INTERNAL", error.what()));
    } catch (...) {
      return FailWithoutMemory();
    }
  } catch (...) {
    return FailWithoutMemory();
  }
}

absl::Status Invalid(const char* reason, const char* message) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason, message);
}

// 0 for types that an artifact cannot hold.
nashswarm_dtype NumberOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return NASHSWARM_F32;
    case DType::kF16:
      return NASHSWARM_F16;
    case DType::kBF16:
      return NASHSWARM_BF16;
    case DType::kF64:
      return NASHSWARM_F64;
    default:
      return 0;
  }
}

// What a tensor can be decoded to.
std::optional<DType> OutputOf(nashswarm_dtype number) {
  if (number == NASHSWARM_F32) return DType::kF32;
  if (number == NASHSWARM_F16) return DType::kF16;
  if (number == NASHSWARM_BF16) return DType::kBF16;
  return std::nullopt;
}

absl::Status CheckIsNsq(const std::string& directory) {
  if (!nashswarm::PathExists(directory)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", directory + " does not exist", "give the directory of an nsq artifact");
  }
  if (nashswarm::artifact::IsNsq(directory)) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "NOT_NSQ",
                   directory + " is no nsq artifact: it has no config.json whose quant_method is nashswarm",
                   "give the directory that nashswarm compress --format nsq made");
}

absl::Status CheckIndex(const nashswarm_nsq* artifact, uint64_t index) {
  if (artifact == nullptr) return Invalid("NULL_POINTER", "there is no artifact");
  if (index < artifact->open.tensors.size()) return absl::OkStatus();
  return MakeError(absl::StatusCode::kOutOfRange, "NO_SUCH_TENSOR",
                   absl::StrCat("tensor ", index, " of ", artifact->open.tensors.size()));
}

absl::Status Read(const nashswarm_nsq* artifact, uint64_t index, nashswarm_dtype number, int32_t threads, void* out, uint64_t out_bytes) {
  NS_RETURN_IF_ERROR(CheckIndex(artifact, index));
  const std::optional<DType> dtype = OutputOf(number);
  if (!dtype) return Invalid("BAD_DTYPE", "tensors are decoded to F32, F16 or BF16");
  if (out == nullptr && out_bytes > 0) return Invalid("NULL_POINTER", "there is no buffer");
  if (reinterpret_cast<uintptr_t>(out) % nashswarm::checkpoint::BytesOf(*dtype) != 0) {
    return Invalid("BUFFER_ALIGNMENT", "the buffer is not aligned to an element");
  }
  const absl::Status decoded = nashswarm::artifact::DecodeTensor(artifact->open, artifact->open.tensors[index], *dtype, threads,
                                                                 {static_cast<uint8_t*>(out), out_bytes});
  return decoded.ok() ? decoded : nashswarm::Annotate(decoded, artifact->directory);
}

}  // namespace

int32_t nashswarm_abi(void) { return NASHSWARM_ABI; }

const char* nashswarm_version(void) { return NASHSWARM_VERSION; }

nashswarm_error nashswarm_last_error(void) {
  return {last_error.status, last_error.reason.c_str(), last_error.message.c_str(), last_error.hint.c_str()};
}

nashswarm_status nashswarm_nsq_open(const char* directory, nashswarm_nsq** out) {
  return Guarded([&]() -> absl::Status {
    if (directory == nullptr || out == nullptr) return Invalid("NULL_POINTER", "there is no directory, or no place for the artifact");
    *out = nullptr;
    NS_RETURN_IF_ERROR(CheckIsNsq(directory));
    NS_ASSIGN_OR_RETURN(nashswarm::artifact::OpenNsq open, nashswarm::artifact::ReadNsq(directory));
    *out = new nashswarm_nsq{directory, std::move(open)};
    return absl::OkStatus();
  });
}

void nashswarm_nsq_close(nashswarm_nsq* artifact) { delete artifact; }

uint64_t nashswarm_nsq_tensor_count(const nashswarm_nsq* artifact) { return artifact == nullptr ? 0 : artifact->open.tensors.size(); }

nashswarm_status nashswarm_nsq_tensor(const nashswarm_nsq* artifact, uint64_t index, nashswarm_tensor* out) {
  return Guarded([&]() -> absl::Status {
    NS_RETURN_IF_ERROR(CheckIndex(artifact, index));
    if (out == nullptr) return Invalid("NULL_POINTER", "there is no place for the tensor");
    const NsqTensor& tensor = artifact->open.tensors[index];
    *out = {tensor.name.c_str(),     tensor.shape.data(), static_cast<uint32_t>(tensor.shape.size()),
            NumberOf(tensor.dtype), tensor.weights(),     tensor.bytes};
    return absl::OkStatus();
  });
}

nashswarm_status nashswarm_nsq_read(const nashswarm_nsq* artifact, uint64_t index, nashswarm_dtype dtype, int32_t threads, void* out,
                                    uint64_t out_bytes) {
  return Guarded([&] { return Read(artifact, index, dtype, threads, out, out_bytes); });
}
