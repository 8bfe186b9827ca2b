#!/usr/bin/env python3
"""Logs an artifact of nashswarm as an MLflow run: its files, its measured figures, its report; and registers it.

  nashswarm compress ./gpt2 -o out --bpw 4.5 --calibrate train.txt
  MLFLOW_TRACKING_URI=http://mlflow.example.org python3 mlflow_log.py out --register gpt2-compressed

Needs the package mlflow (mlflow-skinny is enough).
"""
import argparse
import json
import pathlib
import sys

import mlflow
from mlflow.tracking import MlflowClient


def figures(report):
    """What the report measured on the artifact, flat: {"bytes": ..., "quality.mean_kl": ...}. Nothing is made up: what was
    not measured is not there."""
    artifact = next(entry for entry in report["headline"] if entry["is_artifact"])
    values = {key: artifact[key] for key in ("bytes", "bits_per_weight", "ratio_fp32", "ratio_source")}
    values.update({"quality." + key: value for key, value in artifact.get("quality", {}).items()})
    values.update({"seconds." + cost["stage"]: cost["seconds"] for cost in report["costs"]})
    return {key: float(value) for key, value in values.items()}


def main():
    parser = argparse.ArgumentParser(description="Log a nashswarm artifact to MLflow.")
    parser.add_argument("artifact", type=pathlib.Path, help="the directory that compress or pull wrote")
    parser.add_argument("--experiment", default="nashswarm")
    parser.add_argument("--register", metavar="NAME", help="also as a new version of this registered model")
    arguments = parser.parse_args()
    try:
        report = json.loads((arguments.artifact / "report.json").read_text())
    except OSError as error:
        sys.exit(f"error: {error}\nhint: give the directory of an artifact; a single .gguf file has its report beside it")
    mlflow.set_experiment(arguments.experiment)
    with mlflow.start_run(run_name=report["model_name"]) as run:
        mlflow.log_params({key: report[key] for key in ("model_name", "architecture", "parameters", "target", "engine")})
        mlflow.set_tags({"nashswarm.source_digest": report["source_digest"], "nashswarm.plan": report["plan_summary"]})
        mlflow.log_metrics(figures(report))
        mlflow.log_artifacts(str(arguments.artifact), "model")
        if arguments.register:
            client = MlflowClient()
            try:
                client.create_registered_model(arguments.register)
            except mlflow.exceptions.MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = mlflow.get_artifact_uri("model")
            version = client.create_model_version(arguments.register, source, run.info.run_id)
            print(f"models:/{arguments.register}/{version.version}")
        print(f"run {run.info.run_id}")


if __name__ == "__main__":
    main()
