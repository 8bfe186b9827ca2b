// What a fake server was shown with each call.
#ifndef NASHSWARM_TESTS_UNIT_CLIENT_SEEN_METADATA_H_
#define NASHSWARM_TESTS_UNIT_CLIENT_SEEN_METADATA_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace nashswarm::cli {

class SeenMetadata : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  struct Call {
    std::string method;         // "/package.Service/Method"
    std::string authorization;  // "" without
  };

  explicit SeenMetadata(std::vector<Call>* calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(grpc::experimental::ServerRpcInfo* info) override {
    return new Recorder(this, info->method());
  }

 private:
  class Recorder : public grpc::experimental::Interceptor {
   public:
    Recorder(SeenMetadata* seen, std::string method) : seen_(seen), method_(std::move(method)) {}
    void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
      using Point = grpc::experimental::InterceptionHookPoints;
      if (methods->QueryInterceptionHookPoint(Point::POST_RECV_INITIAL_METADATA)) {
        const auto* metadata = methods->GetRecvInitialMetadata();
        const auto found = metadata->find("authorization");
        const std::lock_guard lock(seen_->mutex_);
        seen_->calls_->push_back(
            {method_, found == metadata->end() ? "" : std::string(found->second.data(), found->second.size())});
      }
      methods->Proceed();
    }

   private:
    SeenMetadata* seen_;
    std::string method_;
  };

  std::mutex mutex_;
  std::vector<Call>* calls_;
};

}  // namespace nashswarm::cli

#endif  // NASHSWARM_TESTS_UNIT_CLIENT_SEEN_METADATA_H_
