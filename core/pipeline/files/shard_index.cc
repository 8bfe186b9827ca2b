#include "core/pipeline/files/shard_index.h"

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/files/shard_tensors.h"

namespace nashswarm::pipeline {

template <typename V, MaybeConst<EncodedStream> T>
void Fields(V& v, T& stream) {
  v("step", stream.step);
  v("distortion", stream.distortion);
  v("crc32", stream.crc32);
}

template <typename V, MaybeConst<EncodedTensor> T>
void Fields(V& v, T& tensor) {
  v("tensor", tensor.tensor);
  v("bytes", tensor.bytes);
  v("error", tensor.error);
  v("energy", tensor.energy);
  v.Among("crc32", tensor.stream);
}

template <typename V, MaybeConst<ShardIndex> T>
void Fields(V& v, T& index) {
  v("bytes", index.bytes);
  v("tensors", index.tensors);
}

std::string ShardIndex::File(int shard) { return absl::StrCat("shard-", shard, ".json"); }
std::string ShardIndex::DataFile(int shard) { return absl::StrCat("shard-", shard, ".bin"); }

absl::StatusOr<ShardIndex> ShardIndex::Read(const std::string& directory, int shard, const Prepared& prepared) {
  const std::string path = JoinPath(directory, File(shard));
  NS_ASSIGN_OR_RETURN(ShardIndex index, ReadJsonFile<ShardIndex>(path, kVersion));
  NS_RETURN_IF_ERROR(CheckShardTensors(prepared, shard, index.tensors, path));
  return index;
}

absl::Status ShardIndex::Write(const std::string& directory, int shard) const {
  return WriteJsonFile(JoinPath(directory, File(shard)), kVersion, *this);
}

}  // namespace nashswarm::pipeline
