#!/usr/bin/env python3
"""The README's picture of a report and the words beside it, both made from the command that the README shows.
Usage: readme_picture.py BIN_DIR      (writes docs/report.png and the picture's words into README.md)"""
import json
import os
import pathlib
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "report.png"
WIDTH, MARGIN = 1000, 24
WORDS = re.compile(r"^!\[(The top of a report: [^\]]*)\]\(docs/report\.png\)$", re.M)
COMMAND = re.compile(r"^The report of `(nashswarm compress [^`]*)`", re.M)
# In the order of the words.
FIGURES = ("megabytes", "bits", "saved", "mean_kl", "same_top1", "perplexity_change")


def command():
    return shlex.split(COMMAND.search(README.read_text()).group(1))


def run(bin_dir, out, environment=None):
    """Runs the README's command with its output in `out`; the report.json."""
    words = command()
    words[0] = str(pathlib.Path(bin_dir) / words[0])
    words[words.index("-o") + 1] = str(out)
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
    return json.loads((pathlib.Path(out) / "report.json").read_text())


def figures_of(report):
    ours = next(row for row in report["headline"] if row["is_artifact"])
    quality = ours["quality"]
    return {"megabytes": ours["bytes"] / 1e6, "bits": ours["bits_per_weight"], "saved": 100 * ours["ratio_fp32"],
            "mean_kl": quality["mean_kl"], "same_top1": 100 * quality["same_top1"],
            "perplexity_change": 100 * quality["perplexity_change"]}


def words_of(figures):
    return ("The top of a report: %.2f MB, %.3f bits a weight, %.1f %% smaller than FP32; mean KL divergence %.5f nats a token, "
            "the same most likely token in %.1f %%, perplexity %+.2f %%" % tuple(figures[name] for name in FIGURES))


def figures_in(words):
    numbers = re.findall(r"[+-]?\d+\.\d+", words)
    assert len(numbers) == len(FIGURES), words
    return dict(zip(FIGURES, map(float, numbers)))


def words_in_readme():
    return WORDS.search(README.read_text()).group(1)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_words(png, words):
    """The picture with its words inside, so that it can be told of which run it is."""
    head = 8 + 25  # the signature and IHDR
    return png[:head] + chunk(b"tEXt", b"Description\0" + words.encode("latin-1")) + png[head:]


def words_in_picture():
    data = PICTURE.read_bytes()
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"tEXt" and data[at + 8:].startswith(b"Description\0"):
            return data[at + 20:at + 8 + length].decode("latin-1")
        at += 12 + length
    return ""


def photograph(page_path):
    import base64

    from chromium import Chromium, Page
    with Chromium() as browser, Page(browser, WIDTH) as page:
        page.open("file://%s" % page_path)
        end = page.evaluate("document.querySelector('#frontier').getBoundingClientRect().bottom + scrollY")
        shot = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": WIDTH, "height": int(end) + MARGIN, "scale": 1})
        return base64.b64decode(shot["data"])


def main():
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "out")
        words = words_of(figures_of(run(sys.argv[1], out)))
        PICTURE.write_bytes(with_words(photograph(os.path.join(out, "report.html")), words))
    text = README.read_text()
    README.write_text(text.replace(WORDS.search(text).group(1), words))
    print("%s: %s" % (PICTURE.relative_to(ROOT), words))


if __name__ == "__main__":
    main()
