#!/usr/bin/env python3
"""Every query of every dashboard and alert, against a real Prometheus that scrapes a real nashswarmd at work, and promtool's
checks. Usage: dashboards_test.py, with NASHSWARM_BIN_DIR set and Debian's prometheus installed."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "integration")]

from cli_harness import BIN, CLI, ENVIRONMENT, MODEL, run, wait_for  # noqa: E402

MONITORING = ROOT / "deploy" / "monitoring"
TEXT = ROOT / "tests" / "data" / "text.txt"
DASHBOARDS = ("overview", "jobs", "workers", "uploads", "quality")
# What Grafana puts in: a range that holds a few scrapes of this test's one a second.
MACROS = {"$__rate_interval": "20s", "$__range": "60s", "$job": "nashswarm"}


def alerts():
    """(name, section of the runbook) of every alert; the file is simple enough to read by lines."""
    text = (MONITORING / "alerts.yml").read_text()
    return re.findall(r"- alert: (\w+)\n(?:.*\n)*?\s+runbook_url: \S+#(\w+)", text)


class FilesTest(unittest.TestCase):
    def promtool(self, *arguments, text=None):
        result = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, input=text)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_promtool(self):
        self.promtool("check", "config", "prometheus.yml")
        self.promtool("check", "rules", "alerts.yml")
        self.promtool("test", "rules", "alerts_test.yml")

    def test_every_alert_is_tested_and_has_its_section(self):
        cases = (MONITORING / "alerts_test.yml").read_text()
        names = [name for name, _ in alerts()]
        self.assertEqual(len(names), (MONITORING / "alerts.yml").read_text().count("- alert: "))
        for name, section in alerts():
            self.assertEqual(section, name.lower())
            self.assertIn("- name: %s fires\n" % name, cases)
            self.assertIn("- name: %s does not fire\n" % name, cases)
        sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.M)
        self.assertEqual(sorted(sections), sorted(names))

    def test_generated_files_are_current(self):
        result = subprocess.run([sys.executable, MONITORING / "generate.py", "--check"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_runbooks_are_absolute_and_said_in_one_place(self):
        def urls(directory):
            return [re.findall(r"runbook_url: (\S+)#\w+$", (directory / name).read_text(), re.M) for name in ("alerts.yml", "prometheusrule.yaml")]

        base = (MONITORING / "runbook.url").read_text().strip()
        self.assertRegex(base, "^https://")
        for found in urls(MONITORING):
            self.assertEqual(found, [base] * len(alerts()))
        with tempfile.TemporaryDirectory(prefix="nashswarm-monitoring-") as directory:
            copy = pathlib.Path(directory) / "monitoring"
            shutil.copytree(MONITORING, copy)
            generate = [sys.executable, copy / "generate.py"]
            (copy / "runbook.url").write_text("http://wiki/pages?id=7\n")
            self.assertEqual(subprocess.run([*generate, "--check"], capture_output=True).returncode, 1)
            subprocess.run(generate, check=True)
            self.assertEqual(subprocess.run([*generate, "--check"]).returncode, 0)
            for found in urls(copy):
                self.assertEqual(found, ["http://wiki/pages?id=7"] * len(alerts()))
            for wrong in ("docs/runbook.md", "https://", "https://a/b#c", ""):
                (copy / "runbook.url").write_text(wrong)
                refused = subprocess.run(generate, capture_output=True, text=True)
                self.assertEqual(refused.returncode, 1, wrong)
                self.assertIn("hint: ", refused.stderr)

    def test_panels_do_not_overlap(self):
        for name in DASHBOARDS:
            taken = set()
            for panel in json.loads((MONITORING / "dashboards" / (name + ".json")).read_text())["panels"]:
                at = panel["gridPos"]
                cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
                self.assertFalse(cells & taken, (name, panel["title"]))
                self.assertLessEqual(at["x"] + at["w"], 24, (name, panel["title"]))
                taken |= cells


class QueriesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory(prefix="nashswarm-dashboards-")
        cls.addClassCleanup(directory.cleanup)
        cls.directory = pathlib.Path(directory.name)
        token = subprocess.run([BIN / "nashswarmd", "token", "--tenant", "a", "--subject", "test", "--append",
                                cls.directory / "tokens"], capture_output=True, text=True, check=True).stdout.strip()
        cls.token = {"NASHSWARM_TOKEN": token}
        cls.start_server()
        cls.start_prometheus()
        cls.work()
        time.sleep(3)  # three more scrapes

    @classmethod
    def spawn(cls, name, command):
        log = open(cls.directory / (name + ".log"), "wb")
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=ENVIRONMENT)

        def stop():
            process.terminate()
            process.wait(30)
            log.close()
        cls.addClassCleanup(stop)

    @classmethod
    def start_server(cls):
        info = cls.directory / "info.json"
        cls.spawn("server", [BIN / "nashswarmd", "--data", cls.directory / "data", "--listen", "127.0.0.1:0", "--metrics",
                             "127.0.0.1:0", "--info-file", info, "--tokens", cls.directory / "tokens", "--workers", "2",
                             "--gc-grace", "0s", "--gc-interval", "1s"])
        addresses = json.loads(wait_for(lambda: info.exists() and info.read_text(), "the server"))
        cls.address, cls.metrics = addresses["grpc"], addresses["metrics"]

    @classmethod
    def start_prometheus(cls):
        rules = MONITORING / "alerts.yml"
        (cls.directory / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: ['%s']\nscrape_configs:\n"
            "- job_name: nashswarm\n  static_configs: [{targets: ['%s']}]\n" % (rules, cls.metrics))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        cls.prometheus = "http://127.0.0.1:%d" % port
        cls.spawn("prometheus", ["prometheus", "--config.file", cls.directory / "prometheus.yml", "--storage.tsdb.path",
                                 cls.directory / "tsdb", "--web.listen-address", "127.0.0.1:%d" % port])
        wait_for(lambda: cls.query("up == 1"), "Prometheus")

    @classmethod
    def client(cls, *arguments):
        return run(*arguments, "--server", cls.address, env=cls.token)

    @classmethod
    def work(cls):
        """Twice everything that makes numbers, with scrapes between: a rate needs to see a counter change."""
        for turn in range(2):
            done = cls.client("compress", MODEL, "-o", cls.directory / ("out%d" % turn), "--bpw", "4.5", "--evaluate", TEXT,
                              "--json")
            assert done.returncode == 0, done.stderr
            model = json.loads(done.stdout)["model"]
            assert cls.client("submit", model, "--bpw", "0.1", "--watch").returncode == 1  # infeasible: it fails
            job = cls.client("submit", model, "--bpw", str(5 + turn), "--calibrate", TEXT).stdout.strip()
            cls.client("jobs", "cancel", job)
            cls.client("jobs", "wait", job)
            assert run("models", "list", "--server", cls.address, env={"NASHSWARM_TOKEN": "wrong"}).returncode == 4
            cls.client("artifacts", "delete", json.loads(done.stdout)["artifact"])
            time.sleep(3)
        watcher = subprocess.Popen([CLI, "compress", MODEL, "-o", cls.directory / "out9", "--bpw", "4.6", "--calibrate", TEXT,
                                    "--server", cls.address], env={**ENVIRONMENT, **cls.token}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        cls.addClassCleanup(lambda: (watcher.kill(), watcher.wait()))
        time.sleep(3)

    @classmethod
    def query(cls, expression):
        url = cls.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return None
            raise AssertionError("%s\n%s" % (expression, error.read().decode()))
        except OSError:
            return None  # not up yet

    def test_every_query_of_every_panel_gives_data(self):
        count = 0
        for name in DASHBOARDS:
            dashboard = json.loads((MONITORING / "dashboards" / (name + ".json")).read_text())
            for panel in dashboard["panels"]:
                for target in panel["targets"]:
                    expression = target["expr"]
                    for macro, value in MACROS.items():
                        expression = expression.replace(macro, value)
                    with self.subTest(dashboard=name, panel=panel["title"], expression=expression):
                        self.assertNotIn("$", expression)
                        result = self.query(expression)
                        self.assertTrue(result, "no data")
                        values = [float(entry["value"][1]) for entry in result]
                        self.assertTrue(any(value == value for value in values), "nothing but NaN")
                        legend = re.findall(r"{{(\w+)}}", target["legendFormat"])
                        self.assertTrue(all(label in result[0]["metric"] for label in legend), (legend, result[0]))
                    count += 1
        print("dashboards: %d queries of %d dashboards give data" % (count, len(DASHBOARDS)))

    def test_alerts_name_metrics_that_exist_and_evaluate(self):
        names = {entry["metric"]["__name__"] for entry in self.query('{job="nashswarm"}')}
        # Not there before trouble has been: this server never refused a connection.
        names.add("nashswarm_connections_refused_total")
        text = (MONITORING / "alerts.yml").read_text()
        for metric in set(re.findall(r"\b(?:nashswarm|grpc_server)_\w+", text)):
            self.assertIn(metric, names)
        with urllib.request.urlopen(self.prometheus + "/api/v1/rules", timeout=30) as answer:
            rules = json.load(answer)["data"]["groups"][0]["rules"]
        self.assertEqual({rule["name"] for rule in rules}, {name for name, _ in alerts()})
        for rule in rules:
            self.assertEqual(rule["health"], "ok", rule)
        down = [rule["name"] for rule in rules if rule["state"] == "firing" and rule["labels"]["severity"] == "critical"]
        self.assertEqual(down, [])

    def test_metrics_are_as_prometheus_wants_them(self):
        with urllib.request.urlopen("http://%s/metrics" % self.metrics, timeout=30) as answer:
            text = answer.read().decode()
        result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=0)
