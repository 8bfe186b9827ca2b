// CALIBRATE: everything that depends on the model and the texts alone (core/calibrate). Another target for the same model and
// texts does not come here again.
#include "core/calibrate/calibration.h"

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/forward/weights.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/stages.h"
#include "core/tokenizer/tokenizer.h"

namespace nashswarm::pipeline {
namespace {

calibrate::Request::Source SourceOf(Spec::Calibration calibration) {
  switch (calibration) {
    case Spec::Calibration::kText:
      return calibrate::Request::Source::kText;
    case Spec::Calibration::kSelf:
      return calibrate::Request::Source::kSelf;
    case Spec::Calibration::kImatrix:
      return calibrate::Request::Source::kImatrix;
    case Spec::Calibration::kNone:
      break;
  }
  return calibrate::Request::Source::kNone;
}

}  // namespace

absl::StatusOr<Json> Calibrate(const Task& task) {
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(std::unique_ptr<tokenizer::Tokenizer> tokenizer,
                      tokenizer::OpenTokenizer(task.model_dir, open.checkpoint->config()));
  const calibrate::Subject subject{&open.model, forward::WeightsOf(*open.checkpoint, open.model), std::move(tokenizer),
                                   open.checkpoint->weight_bytes()};
  calibrate::Request request;
  request.source = SourceOf(task.spec.calibration);
  request.calibration_path = task.calibration_path;
  request.evaluation_path = task.spec.evaluation_text ? task.evaluation_path : "";
  request.tokens = task.spec.calibration_tokens;
  request.evaluation_tokens = task.spec.evaluation_tokens;
  request.evaluation_context = task.spec.evaluation_context;
  request.seed = task.spec.seed;
  request.threads = task.threads;
  std::string step;
  const auto progress = [&](const std::string& what, uint64_t done, uint64_t total) {
    if (what != step) task.observer->Log("info", absl::StrCat("calibration: ", what));
    step = what;
    task.observer->Progress(done, total, what);
    return absl::OkStatus();
  };
  NS_ASSIGN_OR_RETURN(const calibrate::Calibration calibration,
                      calibrate::Calibrate(subject, request, JoinPath(task.out_dir, calibrate::kMomentsFile), progress));
  for (const calibrate::TextUsed& text : calibration.texts) {
    if (!text.note.empty() && text.purpose == "calibration") task.observer->Log("info", text.note);
  }
  if (const std::string unused = calibrate::UnusedExperts(calibration); !unused.empty()) task.observer->Log("warning", unused);
  NS_RETURN_IF_ERROR(calibrate::WriteCalibration(calibration, JoinPath(task.out_dir, calibrate::kCalibrationFile)));
  return Json{{"texts", calibration.texts.size()}, {"loss_weights", calibration.loss_weights.size()}};
}

}  // namespace nashswarm::pipeline
