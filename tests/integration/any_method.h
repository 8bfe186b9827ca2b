// Calls to methods that a test does not know by name: so that a new one is tested before anybody thinks of it.
#ifndef NASHSWARM_TESTS_INTEGRATION_ANY_METHOD_H_
#define NASHSWARM_TESTS_INTEGRATION_ANY_METHOD_H_

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/integration/server_harness.h"

namespace nashswarm::testing {

// Of every service of the API.
inline std::vector<const google::protobuf::MethodDescriptor*> AllMethods() {
  std::vector<const google::protobuf::MethodDescriptor*> methods;
  const google::protobuf::FileDescriptor* file = v1::ServerInfo::descriptor()->file();
  for (int s = 0; s < file->service_count(); ++s) {
    for (int m = 0; m < file->service(s)->method_count(); ++m) methods.push_back(file->service(s)->method(m));
  }
  return methods;
}

inline std::string PathOf(const google::protobuf::MethodDescriptor& method) {
  return "/" + method.service()->full_name() + "/" + method.name();
}

// One message, serialized, and the end of the call.
inline grpc::Status CallByName(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                               const std::string& message = "", const std::string& authorization = "") {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  grpc::CompletionQueue queue;
  const auto stream = stub.PrepareCall(&context, path, &queue);
  const auto wait = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  };
  stream->StartCall(nullptr);
  wait();
  const grpc::Slice slice(message);
  stream->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  wait();
  grpc::ByteBuffer ignored;
  do {
    stream->Read(&ignored, nullptr);
  } while (wait());
  grpc::Status status;
  stream->Finish(&status, nullptr);
  wait();
  return status;
}

inline std::string ReasonOf(const grpc::Status& status) { return status.ok() ? "" : InfoOf(status).reason(); }

}  // namespace nashswarm::testing

#endif  // NASHSWARM_TESTS_INTEGRATION_ANY_METHOD_H_
