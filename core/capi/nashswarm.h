/* libnashswarm: reads nsq artifacts from any language that calls C.
 *
 * Rules for all of it:
 *  - A function that can fail returns a nashswarm_status. 0 is success; for anything else nashswarm_last_error() has the details.
 *  - Nothing is thrown, printed or aborted for what a file holds. A file that another process cuts short while it is open is beyond
 *    that: it is mapped, and reading what is gone ends the process (SIGBUS).
 *  - An open artifact is immutable: any number of threads may use one at a time. It must not be closed while it is used.
 *  - Strings are UTF-8 and end with a zero byte. The library owns every pointer that it returns.
 *
 * The format: docs/nsq-format.md. */
#ifndef NASHSWARM_CORE_CAPI_NASHSWARM_H_
#define NASHSWARM_CORE_CAPI_NASHSWARM_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NASHSWARM_API __attribute__((visibility("default")))
#else
#define NASHSWARM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a function or a struct changes its meaning; what is only added leaves it. */
#define NASHSWARM_ABI 1
NASHSWARM_API int32_t nashswarm_abi(void);
NASHSWARM_API const char* nashswarm_version(void); /* "0.1.0" */

/* Numbers and meanings of the gRPC status codes; not all of them occur. */
typedef int32_t nashswarm_status;
enum {
  NASHSWARM_OK = 0,
  NASHSWARM_INVALID_ARGUMENT = 3,
  NASHSWARM_NOT_FOUND = 5,
  NASHSWARM_RESOURCE_EXHAUSTED = 8,
  NASHSWARM_FAILED_PRECONDITION = 9,
  NASHSWARM_OUT_OF_RANGE = 11,
  NASHSWARM_INTERNAL = 13,
  NASHSWARM_DATA_LOSS = 15
};

/* Of the last call that failed in this thread. The pointers are good until the next call that fails in this thread. */
typedef struct {
  nashswarm_status status;
  const char* reason;  /* UPPER_SNAKE_CASE, stable: "NSQ_TILE"; "" where there is none */
  const char* message; /* names the file and the tensor */
  const char* hint;    /* what to do next; "" where there is none */
} nashswarm_error;
NASHSWARM_API nashswarm_error nashswarm_last_error(void);

typedef int32_t nashswarm_dtype;
enum { NASHSWARM_F32 = 1, NASHSWARM_F16 = 2, NASHSWARM_BF16 = 3, NASHSWARM_F64 = 4 };

/* An open nsq artifact. */
typedef struct nashswarm_nsq nashswarm_nsq;

/* Maps the artifact's directory and checks its index; no weight is looked at yet. On success *out must be closed. Not an nsq directory:
 * FAILED_PRECONDITION / NOT_NSQ. Damage: DATA_LOSS. */
NASHSWARM_API nashswarm_status nashswarm_nsq_open(const char* directory, nashswarm_nsq** out);
NASHSWARM_API void nashswarm_nsq_close(nashswarm_nsq* artifact); /* NULL is fine */

/* A tensor as the checkpoint had it. The pointers are good until the artifact is closed. */
typedef struct {
  const char* name;
  const uint64_t* shape; /* `rank` lengths, outermost first; elements are stored row by row */
  uint32_t rank;
  nashswarm_dtype dtype; /* in the checkpoint */
  uint64_t elements;     /* the product of `shape` */
  uint64_t stored_bytes; /* in the artifact */
} nashswarm_tensor;

NASHSWARM_API uint64_t nashswarm_nsq_tensor_count(const nashswarm_nsq* artifact);
/* `index` counts from 0 in the order of the file. OUT_OF_RANGE / NO_SUCH_TENSOR past the end. */
NASHSWARM_API nashswarm_status nashswarm_nsq_tensor(const nashswarm_nsq* artifact, uint64_t index, nashswarm_tensor* out);

/* Decodes a tensor into the caller's buffer: `elements` numbers of `dtype` (F32, F16 or BF16), just as `nashswarm unpack --dtype` writes
 * them. `out_bytes` must be what they take, and `out` aligned to one of them: INVALID_ARGUMENT / BUFFER_SIZE, BUFFER_ALIGNMENT.
 * `threads` 0: every core; it never changes the result. Damage: DATA_LOSS with NSQ_STREAM, NSQ_TILE, NSQ_TENSOR or ARTIFACT_NON_FINITE;
 * weights beyond F16: OUT_OF_RANGE / DTYPE_TOO_NARROW. After a failure the buffer holds nothing of use. */
NASHSWARM_API nashswarm_status nashswarm_nsq_read(const nashswarm_nsq* artifact, uint64_t index, nashswarm_dtype dtype, int32_t threads,
                                                  void* out, uint64_t out_bytes);

#ifdef __cplusplus
}
#endif

#endif /* NASHSWARM_CORE_CAPI_NASHSWARM_H_ */
