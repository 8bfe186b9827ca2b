#!/usr/bin/env python3
"""Writes what is made from something else: dashboards/*.json from the panels below, prometheusrule.yaml from alerts.yml, and
into both files of alerts where their runbook is, which runbook.url says.

  generate.py          write
  generate.py --check  say which files are not as they would be written
"""
import json
import pathlib
import re
import sys
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
J = 'job="$job"'  # every query's selector
WIDTHS = {"stat": 4, "timeseries": 12, "bargauge": 12, "heatmap": 24, "table": 24}
HEIGHTS = {"stat": 4, "timeseries": 8, "bargauge": 8, "heatmap": 9, "table": 8}


def panel(kind, title, description, unit, *queries, thresholds=None, width=None, stack=False, maximum=None):
    """`queries`: (PromQL, legend). `thresholds`: {value from which on: color}."""
    return {"kind": kind, "title": title, "description": description, "unit": unit, "queries": queries,
            "thresholds": thresholds, "width": width or WIDTHS[kind], "stack": stack, "maximum": maximum}


def stat(*arguments, **options):
    return panel("stat", *arguments, **options)


def series(*arguments, **options):
    return panel("timeseries", *arguments, **options)


def rate(metric, by="", selector=""):
    group = "sum by (%s) " % by if by else "sum"
    return "%s(rate(%s{%s%s}[$__rate_interval]))" % (group, metric, J, "," + selector if selector else "")


def quantile(q, metric, by="", selector=""):
    return "histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{%s%s}[$__rate_interval])))" % (
        q, ", " + by if by else "", metric, J, "," + selector if selector else "")


SERVER_ERRORS = 'grpc_code=~"UNKNOWN|INTERNAL|DATA_LOSS"'
DASHBOARDS = {
    "overview": ("nashswarm / Overview", "What to look at first: does it serve, does it get its work done, does anything fail.", [
        stat("Processes", "Processes that answer.", "none", ("sum(up{%s})" % J, ""), thresholds={0: "red", 1: "green"}),
        stat("Workers", "Tasks that can run at a time.", "none", ("sum(nashswarm_workers{%s})" % J, ""),
             thresholds={0: "red", 1: "green"}),
        stat("Jobs running", "From the database.", "none", ('max(nashswarm_jobs{%s,state="running"})' % J, "")),
        stat("Tasks waiting", "That could start now.", "none", ("max(nashswarm_queue_depth{%s})" % J, "")),
        stat("Longest wait", "Of the oldest task that could start.", "s", ("max(nashswarm_queue_oldest_seconds{%s})" % J, ""),
             thresholds={0: "green", 600: "orange", 3600: "red"}),
        stat("Stored", "Bytes of all content.", "bytes", ("max(nashswarm_blob_store_bytes{%s})" % J, "")),
        series("Jobs ended", "By how they ended, a minute.", "cpm",
               ("60 * " + rate("nashswarm_job_duration_seconds_count", "state"), "{{state}}"), stack=True),
        series("Task failures", "By reason, a minute. One is tried again unless the input is at fault.", "cpm",
               ("60 * " + rate("nashswarm_task_failures_total", "reason"), "{{reason}}")),
        series("Calls", "By code, a second.", "reqps", (rate("grpc_server_handled_total", "grpc_code"), "{{grpc_code}}"), stack=True),
        series("Unary calls, 99th percentile", "Without CompleteUpload, which reads all headers of a model.", "s",
               (quantile(0.99, "grpc_server_handling_seconds", "", 'grpc_type="unary",grpc_method!="CompleteUpload"'), "p99"),
               (quantile(0.5, "grpc_server_handling_seconds", "", 'grpc_type="unary",grpc_method!="CompleteUpload"'), "p50")),
        series("Server errors", "Share of calls that end with UNKNOWN, INTERNAL or DATA_LOSS.", "percentunit",
               ("(%s or vector(0)) / %s" % (rate("grpc_server_handled_total", "", SERVER_ERRORS), rate("grpc_server_handled_total")),
                "share"), maximum=1),
        series("Versions", "Processes by what they run.", "none",
               ("count by (version) (nashswarm_build_info{%s})" % J, "{{version}}")),
    ]),
    "jobs": ("nashswarm / Jobs", "Jobs and the stages they go through.", [
        series("Jobs by state", "From the database.", "none", ("max by (state) (nashswarm_jobs{%s})" % J, "{{state}}")),
        series("Duration of jobs", "From creation to end, succeeded jobs.", "s",
               (quantile(0.5, "nashswarm_job_duration_seconds", "", 'state="SUCCEEDED"'), "p50"),
               (quantile(0.95, "nashswarm_job_duration_seconds", "", 'state="SUCCEEDED"'), "p95")),
        series("Duration of tasks by stage", "Median of one attempt.", "s",
               (quantile(0.5, "nashswarm_task_duration_seconds", "stage"), "{{stage}}")),
        series("Tasks ended", "By outcome, a minute. Fenced: another worker had taken over. Reused: measured before.", "cpm",
               ("60 * " + rate("nashswarm_tasks_total", "outcome"), "{{outcome}}"), stack=True),
        series("Task failures by stage", "A minute.", "cpm",
               ("60 * " + rate("nashswarm_task_failures_total", "stage, reason"), "{{stage}}: {{reason}}")),
        series("Waiting", "Tasks that could start, and how long the oldest has waited.", "none",
               ("max(nashswarm_queue_depth{%s})" % J, "tasks"), ("max(nashswarm_queue_oldest_seconds{%s})" % J, "seconds")),
        series("Kept", "Models and artifacts in the store.", "none", ("max(nashswarm_models{%s})" % J, "models"),
               ("max(nashswarm_artifacts{%s})" % J, "artifacts")),
        series("Bytes saved", "Weight bytes that went into succeeded jobs, and came out.", "Bps",
               (rate("nashswarm_compressed_input_bytes_total"), "in"), (rate("nashswarm_compressed_output_bytes_total"), "out")),
    ]),
    "workers": ("nashswarm / Workers", "The pool: whether it is busy, fast enough, and large enough.", [
        stat("Busy", "Share of the workers.", "percentunit",
             ("sum(nashswarm_workers_busy{%s}) / sum(nashswarm_workers{%s})" % (J, J), ""), maximum=1),
        stat("Too large", "Waiting tasks that no process can ever take.", "none",
             ("min(nashswarm_tasks_too_large{%s} and on (instance) nashswarm_workers > 0)" % J, ""),
             thresholds={0: "green", 1: "red"}),
        series("Busy by process", "Tasks each runs, of those it can.", "none",
               ("sum by (instance) (nashswarm_workers_busy{%s})" % J, "{{instance}}"),
               ("sum(nashswarm_workers{%s})" % J, "all workers"), width=16),
        series("Weights worked on", "By stage.", "ops", (rate("nashswarm_weights_processed_total", "stage"), "{{stage}}")),
        series("Tokens run", "Through a model, by stage.", "ops", (rate("nashswarm_tokens_processed_total", "stage"), "{{stage}}")),
        series("Tensors encoded", "By format, a minute.", "cpm",
               ("60 * " + rate("nashswarm_tensors_encoded_total", "format"), "{{format}}"), stack=True),
        series("Duration of tasks", "95th percentile, by stage.", "s",
               (quantile(0.95, "nashswarm_task_duration_seconds", "stage"), "{{stage}}")),
        series("Tasks too large", "By process: waiting tasks that need more than it has.", "none",
               ("nashswarm_tasks_too_large{%s}" % J, "{{instance}}")),
        series("Leases lost", "Finished tasks that were discarded, since another worker had taken over; and tasks given back.", "cpm",
               ("60 * (%s or vector(0))" % rate("nashswarm_tasks_total", "", 'outcome="fenced"'), "fenced"),
               ("60 * (%s or vector(0))" % rate("nashswarm_tasks_total", "", 'outcome="released"'), "released")),
    ]),
    "uploads": ("nashswarm / Uploads", "Transfers, storage and who is let in.", [
        stat("Unfinished uploads", "Each expires after --upload-ttl without progress.", "none",
             ("max(nashswarm_uploads_active{%s})" % J, "")),
        stat("Content", "Stored pieces.", "none", ("max(nashswarm_blobs{%s})" % J, "")),
        series("Transfer", "File bytes received and sent.", "Bps", (rate("nashswarm_upload_bytes_total"), "upload"),
               (rate("nashswarm_download_bytes_total"), "download"), width=16),
        series("Store", "Bytes of all content.", "bytes", ("max(nashswarm_blob_store_bytes{%s})" % J, "stored")),
        series("Garbage collected", "Bytes freed, all in all.", "bytes", ("sum(nashswarm_garbage_bytes_total{%s})" % J, "bytes"),
               ("sum(nashswarm_garbage_blobs_total{%s})" % J, "pieces")),
        series("Streams under way", "Uploads, downloads and watches.", "none",
               ('sum by (grpc_method) (grpc_server_started_total{%s,grpc_type!="unary"}) - (sum by (grpc_method) '
                '(grpc_server_handled_total{%s,grpc_type!="unary"}) or 0 * sum by (grpc_method) '
                '(grpc_server_started_total{%s,grpc_type!="unary"}))' % (J, J, J), "{{grpc_method}}")),
        series("Calls of uploads", "By method and code, a second.", "reqps",
               (rate("grpc_server_handled_total", "grpc_method, grpc_code", 'grpc_service="nashswarm.v1.UploadService"'),
                "{{grpc_method}} {{grpc_code}}")),
        series("Refused callers", "By reason, a minute.", "cpm",
               ("60 * " + rate("nashswarm_auth_failures_total", "reason"), "{{reason}}")),
        series("Connections", "Accepted, a minute; and closed for want of room.", "cpm",
               ("60 * " + rate("nashswarm_connections_total"), "accepted"),
               ("60 * (%s or vector(0))" % rate("nashswarm_connections_refused_total"), "refused")),
    ]),
    "quality": ("nashswarm / Quality", "What the artifacts lose, as measured on themselves, and what they save.", [
        stat("Mean KL divergence", "Of the artifacts of the range, nats a token.", "none",
             ("sum(increase(nashswarm_job_mean_kl_sum{%s}[$__range])) / sum(increase(nashswarm_job_mean_kl_count{%s}[$__range]))"
              % (J, J), "")),
        stat("Measured jobs", "In the range.", "none", ("sum(increase(nashswarm_job_mean_kl_count{%s}[$__range]))" % J, "")),
        stat("Saved", "Of the weight bytes of the range's jobs.", "percentunit",
             ("1 - sum(increase(nashswarm_compressed_output_bytes_total{%s}[$__range])) / "
              "sum(increase(nashswarm_compressed_input_bytes_total{%s}[$__range]))" % (J, J), ""), maximum=1),
        panel("heatmap", "Mean KL divergence of artifacts", "Jobs by what their artifact loses, nats a token.", "none",
              ("sum by (le) (increase(nashswarm_job_mean_kl_bucket{%s}[$__rate_interval]))" % J, "{{le}}")),
        series("Quantiles of mean KL divergence", "Over the jobs of the last hour, nats a token.", "none",
               *(("histogram_quantile(%s, sum by (le) (increase(nashswarm_job_mean_kl_bucket{%s}[1h])))" % (q, J), "p%d" % (100 * q))
                 for q in (0.5, 0.9))),
        series("Formats chosen", "Share of the tensors encoded in the last hour.", "percentunit",
               ("sum by (format) (increase(nashswarm_tensors_encoded_total{%s}[1h])) / ignoring (format) group_left "
                "sum(increase(nashswarm_tensors_encoded_total{%s}[1h]))" % (J, J), "{{format}}"), stack=True, maximum=1),
    ]),
}


def grafana_panel(number, spec, x, y):
    steps = spec["thresholds"] or {0: "green" if spec["kind"] != "stat" else "text"}
    defaults = {"unit": spec["unit"], "min": 0, "color": {"mode": "thresholds" if spec["kind"] == "stat" else "palette-classic"},
                "thresholds": {"mode": "absolute", "steps": [
                    {"color": color, "value": None if i == 0 else value} for i, (value, color) in enumerate(steps.items())]}}
    if spec["maximum"] is not None:
        defaults["max"] = spec["maximum"]
    if spec["kind"] == "timeseries":
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 20 if spec["stack"] else 5, "showPoints": "never",
                              "stacking": {"mode": "normal" if spec["stack"] else "none", "group": "A"}}
    options = {"stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "area"},
               "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}},
               "heatmap": {"calculate": False, "yAxis": {"axisPlacement": "left"}, "cellGap": 1}}[spec["kind"]]
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number, "type": spec["kind"], "title": spec["title"], "description": spec["description"], "datasource": source,
        "gridPos": {"x": x, "y": y, "w": spec["width"], "h": HEIGHTS[spec["kind"]]},
        "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
        "targets": [{"refId": chr(65 + i), "datasource": source, "expr": expression, "legendFormat": legend,
                     **({"format": "heatmap"} if spec["kind"] == "heatmap" else {})}
                    for i, (expression, legend) in enumerate(spec["queries"])]}


def dashboard(name):
    title, description, panels = DASHBOARDS[name]
    placed, x, y, row = [], 0, 0, 0
    for number, spec in enumerate(panels, 1):
        if x + spec["width"] > 24:
            x, y, row = 0, y + row, 0
        placed.append(grafana_panel(number, spec, x, y))
        x, row = x + spec["width"], max(row, HEIGHTS[spec["kind"]])
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source", "hide": 0},
        {"name": "job", "type": "query", "label": "Job", "datasource": {"type": "prometheus", "uid": "${datasource}"},
         "query": {"query": "label_values(nashswarm_build_info, job)", "refId": "job"}, "refresh": 1, "sort": 1,
         "current": {"text": "nashswarm", "value": "nashswarm"}}]
    links = [{"type": "dashboards", "tags": ["nashswarm"], "asDropdown": False, "title": "", "includeVars": True, "keepTime": True}]
    return {"uid": "nashswarm-" + name, "title": title, "description": description, "tags": ["nashswarm"], "timezone": "browser",
            "schemaVersion": 38, "version": 1, "editable": True, "refresh": "30s", "time": {"from": "now-3h", "to": "now"},
            "templating": {"list": variables}, "annotations": {"list": []}, "links": links, "panels": placed}


def runbook():
    """Where people who are paged read docs/runbook.md: whoever runs this says it, once, in runbook.url."""
    url = (HERE / "runbook.url").read_text().strip()
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.fragment or re.search(r"[\s\"\\{}]", url):
        sys.exit("error: runbook.url holds %r\nhint: write the address of the runbook, like https://HOST/PATH, without #section" % url)
    return url


def alert_rules():
    return re.sub(r"(?m)^( *runbook_url: ).*(#\w+)$", lambda line: line[1] + runbook() + line[2], (HERE / "alerts.yml").read_text())


def prometheus_rule():
    alerts = alert_rules()
    head = ("# Made from alerts.yml by generate.py.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n"
            "  name: nashswarm\n  labels:\n    app.kubernetes.io/name: nashswarm\nspec:\n")
    lines = [line for line in alerts.splitlines() if not line.startswith("#")]
    return head + "".join(("  " + line if line else "") + "\n" for line in lines)


def files():
    yield HERE / "alerts.yml", alert_rules()
    yield HERE / "prometheusrule.yaml", prometheus_rule()
    for name in DASHBOARDS:
        yield HERE / "dashboards" / (name + ".json"), json.dumps(dashboard(name), indent=1) + "\n"


def main():
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print("%s is not what generate.py writes: run it" % path.name, file=sys.stderr)
        return 1 if stale else 0
    for path, text in files():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
