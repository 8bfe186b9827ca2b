"""The examples in deploy/pipelines: each is run, the containers' commands against a server of this machine. Needs the packages of
requirements-pipelines.txt. Usage: pipelines_test.py, with NASHSWARM_BIN_DIR set; ACTIONLINT may name that program."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "integration"), str(ROOT / "tests" / "support")]

import yaml  # noqa: E402
from cli_harness import BIN, ENVIRONMENT, MODEL, Server, TemporaryTest  # noqa: E402
from hub_server import Hub  # noqa: E402

PIPELINES = ROOT / "deploy" / "pipelines"
TEXT = ROOT / "tests" / "data" / "text.txt"


class PipelinesTest(TemporaryTest):
    def shell(self, command, **environment):
        path = "%s:%s" % (BIN, os.environ["PATH"])
        return subprocess.run(command, cwd=self.directory, capture_output=True, text=True, timeout=600,
                              env={**ENVIRONMENT, "PATH": path, **environment})

    def must(self, command, **environment):
        result = self.shell(command, **environment)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result

    def test_make(self):
        shutil.copytree(MODEL, self.directory / "gpt2")
        shutil.copy(PIPELINES / "Makefile", self.directory)
        self.must(["make", "gpt2.gguf"])
        made = (self.directory / "gpt2.gguf").stat()
        self.assertIn("up to date", self.must(["make", "gpt2.gguf"]).stdout)
        os.utime(self.directory / "gpt2" / "config.json", (made.st_mtime + 5, made.st_mtime + 5))
        self.must(["make", "gpt2.gguf", "BPW=5"])
        self.assertGreater((self.directory / "gpt2.gguf").stat().st_size, made.st_size)

    def github_steps(self):
        job = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())
        return job["env"], [step["run"] for step in job["jobs"]["compress"]["steps"] if "run" in step]

    def test_github_actions(self):
        shutil.copytree(MODEL, self.directory / "model")
        (self.directory / "data").mkdir()
        shutil.copy(TEXT, self.directory / "data" / "calibration.txt")
        environment, steps = self.github_steps()
        environment = {**environment, "MODEL": "model"}  # what the expression stands for
        self.assertEqual(len(steps), 3)
        for step in steps:
            self.must(["sh", "-e", "-c", step], **environment)
        refused = self.shell(["sh", "-e", "-c", steps[1]], **{**environment, "MAX_MEAN_KL": "0.000001"})
        self.assertEqual(refused.returncode, 1, "the gate must be able to close")
        (self.directory / "result.json").write_text("{}")
        self.assertEqual(self.shell(["sh", "-e", "-c", steps[1]], **environment).returncode, 1, "nothing measured")
        if "ACTIONLINT" in os.environ:
            self.must([os.environ["ACTIONLINT"], "-shellcheck=", str(PIPELINES / "github-actions.yml")])

    def test_argo(self):
        workflow = yaml.safe_load((PIPELINES / "argo-workflow.yaml").read_text())
        template = workflow["spec"]["templates"][0]
        container = template["container"]
        self.assertEqual(workflow["spec"]["entrypoint"], template["name"])
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        self.assertEqual(set(mounts), {volume["name"] for volume in template["volumes"]})
        # The same command here: volumes are directories, the cluster's server is one of this machine.
        places = {path: str(self.directory / name) for name, path in mounts.items()}
        for place in places.values():
            pathlib.Path(place).mkdir()
        (self.directory / "client" / "token").write_text("a-token-nobody-asks-for")
        hub = Hub({"openai-community/gpt2": MODEL})
        self.addCleanup(hub.close)
        server = Server(self.directory)
        self.addCleanup(server.stop)

        def here(text):
            for parameter in workflow["spec"]["arguments"]["parameters"]:
                text = text.replace("{{inputs.parameters.%s}}" % parameter["name"], parameter["value"])
            for path, place in places.items():
                text = text.replace(path, place)
            return text

        environment = {variable["name"]: here(variable["value"]) for variable in container["env"]}
        self.assertTrue(environment.pop("NASHSWARM_SERVER").startswith("https://"))
        self.assertTrue(environment.pop("NASHSWARM_CA"))
        arguments = [here(argument) for argument in container["args"]]
        self.assertNotIn("{{", " ".join(arguments))
        for _ in range(2):  # a retried step must not trip over its first try
            self.must(container["command"] + arguments, HF_ENDPOINT=hub.endpoint, NASHSWARM_SERVER=server.address,
                      **environment)
        for output in template["outputs"]["artifacts"]:
            self.assertTrue(pathlib.Path(here(output["path"])).exists(), output)

    def test_mlflow(self):
        import mlflow
        from mlflow.tracking import MlflowClient
        self.must(["nashswarm", "compress", MODEL, "-o", "out", "--bpw", "4.5", "--evaluate", TEXT])
        store = "sqlite:///%s/mlflow.db" % self.directory
        for version in (1, 2):
            result = self.must([sys.executable, PIPELINES / "mlflow_log.py", "out", "--register", "wiki"],
                               MLFLOW_TRACKING_URI=store, HOME=str(self.directory))
            self.assertIn("models:/wiki/%d" % version, result.stdout)
        mlflow.set_tracking_uri(store)
        client = MlflowClient()
        run = client.get_run(client.get_model_version("wiki", "2").run_id)
        report = json.loads((self.directory / "out" / "report.json").read_text())
        artifact = next(entry for entry in report["headline"] if entry["is_artifact"])
        self.assertEqual(run.data.metrics["bytes"], (self.directory / "out" / "model.gguf").stat().st_size)
        self.assertEqual(run.data.metrics["quality.mean_kl"], artifact["quality"]["mean_kl"])
        self.assertEqual(run.data.tags["nashswarm.source_digest"], report["source_digest"])
        names = {pathlib.Path(entry.path).name for entry in client.list_artifacts(run.info.run_id, "model")}
        self.assertTrue({"model.gguf", "report.json", "report.html", "manifest.json"} <= names, names)
        missing = self.shell([sys.executable, PIPELINES / "mlflow_log.py", "nowhere"], MLFLOW_TRACKING_URI=store)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("hint:", missing.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=0)
