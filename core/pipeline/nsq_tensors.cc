// Which tensors an nsq artifact has, and how each is stored.
#include "core/pipeline/nsq_stages.h"

namespace nashswarm::pipeline {
namespace {

quant::Format FormatOf(checkpoint::DType dtype) {
  return dtype == checkpoint::DType::kF16 ? quant::Format::kF16
         : dtype == checkpoint::DType::kBF16 ? quant::Format::kBF16
                                             : quant::Format::kF32;
}

checkpoint::DType DTypeOf(quant::Format format) {
  return format == quant::Format::kF16 ? checkpoint::DType::kF16
         : format == quant::Format::kBF16 ? checkpoint::DType::kBF16
                                          : checkpoint::DType::kF32;
}

// As they lie in the checkpoint, whatever the order of its rows.
std::vector<float> PlainValues(const checkpoint::SourceTensor& source) {
  std::vector<float> values(source.elements());
  checkpoint::ToFloat(source.dtype, source.data.data(), values.size(), values.data());
  return values;
}

}  // namespace

const model::MappedTensor& NsqInputs::source(size_t tensor) const {
  const std::string& name = prepared.tensors[tensor].name;
  for (const model::MappedTensor& mapped : open.model.tensors) {
    if (mapped.name == name) return mapped;
  }
  return open.model.tensors.at(tensor);  // prepared.json is of another model: our own mistake
}

std::vector<PreparedTensor> NsqTensors(const model::Model& model) {
  std::vector<PreparedTensor> tensors;
  for (const model::MappedTensor& tensor : model.tensors) {
    if (tensor.source == nullptr) continue;  // made for GGUF
    PreparedTensor prepared{tensor.name, tensor.source_name(), std::string(model::NameOf(tensor.role)), tensor.source_rows,
                            tensor.source_row_weights, tensor.vector, {}, tensor.name};
    if (!tensor.is_player()) prepared.formats = {FormatOf(artifact::PlainDtype(tensor.source->dtype, PlainValues(*tensor.source)))};
    tensors.push_back(std::move(prepared));
  }
  return tensors;
}

artifact::NsqTensor IndexEntry(const PreparedTensor& tensor, const model::MappedTensor& source) {
  artifact::NsqTensor entry;
  entry.name = tensor.source;
  entry.shape = source.source->shape;
  entry.dtype = source.source->dtype;
  if (!tensor.is_coded()) {
    entry.plain_dtype = DTypeOf(tensor.formats.at(0));
    entry.bytes = tensor.weights() * checkpoint::BytesOf(entry.plain_dtype);
  } else {
    entry.coding = source.layout == model::Layout::kTransposed ? artifact::NsqTensor::Coding::kTransposedStream
                                                               : artifact::NsqTensor::Coding::kStream;
  }
  return entry;
}

std::vector<float> ReadPlain(const NsqInputs& in, size_t tensor) { return PlainValues(*in.source(tensor).source); }

}  // namespace nashswarm::pipeline
