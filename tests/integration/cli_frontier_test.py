"""nashswarm frontier: sizes against losses from one measurement. Run by cli_test.py, or alone."""
import json
import unittest
import xml.etree.ElementTree as ElementTree

from cli_harness import MODEL, SOURCE, TemporaryTest, run

TEXT = SOURCE / "tests" / "data" / "text.txt"


class FrontierTest(TemporaryTest):
    def frontier(self, *arguments, code=0):
        result = run("frontier", MODEL, *arguments)
        self.assert_exit(result, code)
        return result

    def refused(self, *arguments, code=2):
        result = run("frontier", *arguments)
        self.assert_exit(result, code)
        self.assertIn("error: ", result.stderr)
        self.assertIn("hint: ", result.stderr)
        self.assertEqual(self.files(), [])
        return result.stderr

    def assert_falls(self, points):
        self.assertGreater(len(points), 1)
        for before, after in zip(points, points[1:]):
            self.assertLess(before["bytes"], after["bytes"])
            self.assertGreater(before["predicted_loss"], after["predicted_loss"])

    def test_without_a_text_losses_are_relative(self):
        result = self.frontier("--bpw", "2.5:5", "--points", "6")
        lines = result.stdout.splitlines()
        self.assertIn("gpt2, 5853184 parameters, as gguf", lines[0])
        self.assertIn("relative squared error", lines[1])
        head = next(i for i, line in enumerate(lines) if "bits per weight" in line)
        rows = [line.split() for line in lines[head + 1:lines.index("", head)]]
        self.assertEqual(len(rows), 5)  # 2.5 bits are too few for this model
        self.assertIn("1 of 6 sizes left out: they are below the smallest gguf file of this model", " ".join(result.stdout.split()))
        as_json = json.loads(self.frontier("--bpw", "2.5:5", "--points", "6", "--json", "--threads", "1").stdout)
        self.assertEqual(as_json["loss_unit"], "relative error")
        self.assert_falls(as_json["points"])
        self.assertEqual([(row[1], row[2]) for row in rows],
                         [(str(p["bytes"]), "%.6f" % p["predicted_loss"]) for p in as_json["points"]])
        self.assertTrue(all(0 < p["predicted_loss"] < 1 and "measured" not in p for p in as_json["points"]))

    def test_measured_files_lie_where_they_were_predicted(self):
        svg = self.directory / "frontier.svg"
        text = self.directory / "text.txt"
        text.write_text(TEXT.read_text()[:6500])  # a few windows: what takes time is calibration
        result = self.frontier("--bpw", "3:5", "--points", "5", "--text", text, "--measure", "3", "-o", svg,
                               "--json")
        frontier = json.loads(result.stdout)
        self.assertEqual(frontier["model"], str(MODEL))
        self.assertEqual(frontier["format"], "gguf")
        self.assertEqual(frontier["loss_unit"], "nats per token")
        points = frontier["points"]
        self.assert_falls(points)
        self.assertEqual(["measured" in p for p in points], [True, False, True, False, True])
        for point in points:
            self.assertLessEqual(point["bits_per_weight"], point["target_bits_per_weight"])
            self.assertAlmostEqual(point["bits_per_weight"], 8 * point["bytes"] / frontier["parameters"])
        for point in points[::2]:
            measured = point["measured"]
            self.assertEqual(measured["bytes"], point["bytes"])  # of block formats the size is known
            self.assertAlmostEqual(measured["bits_per_weight"], 8 * measured["bytes"] / frontier["parameters"])
            self.assertGreater(measured["mean_kl"], 0)
        self.assertGreater(points[0]["measured"]["mean_kl"], points[-1]["measured"]["mean_kl"])
        self.assertGreater(points[0]["measured"]["perplexity_change"], 0)
        split = next(note for note in frontier["notes"] if "are held out to measure on" in note)
        self.assertIn("tokens for evaluation", split)
        self.assertNotIn("\r", result.stderr)  # no terminal, no bar

        root = ElementTree.parse(svg).getroot()
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.tag, space + "svg")
        self.assertTrue(root.find(space + "title").text and root.find(space + "desc").text)
        marks = [mark.find(space + "title").text for mark in root.iter(space + "polygon") if mark.find(space + "title") is not None]
        self.assertEqual(len(marks), 3)
        self.assertEqual(self.files(), ["frontier.svg", "text.txt"])

    def test_nsq_goes_lower(self):
        frontier = json.loads(self.frontier("--bpw", "1:3", "--points", "4", "--format", "nsq", "--json").stdout)
        self.assertEqual(frontier["format"], "nsq")
        self.assertEqual(len(frontier["points"]), 4)
        self.assert_falls(frontier["points"])

    def test_what_cannot_be_done_is_said_with_a_hint(self):
        self.assertIn("--bpw 5:2: FROM is not below TO", self.refused(MODEL, "--bpw", "5:2"))
        for bits in ("4", "a:b", "0:4", "2:99", "2:2", "nan:3", ":"):
            self.assertIn("--bpw " + bits, self.refused(MODEL, "--bpw", bits))
        self.assertIn("--points 1", self.refused(MODEL, "--bpw", "2:5", "--points", "1"))
        self.assertIn("--text FILE", self.refused(MODEL, "--bpw", "2:5", "--measure", "2"))
        self.assertIn("--measure 9", self.refused(MODEL, "--bpw", "2:5", "--points", "8", "--text", TEXT, "--measure", "9"))
        self.assertIn(".svg", self.refused(MODEL, "--bpw", "2:5", "-o", self.directory / "x.png"))
        self.refused(MODEL, "--bpw", "2:5", "-o", self.directory / "none" / "x.svg", code=3)
        self.refused(MODEL, "--bpw", "2:5", "--text", self.directory / "none.txt", code=3)
        self.refused(self.directory / "none", "--bpw", "2:5", code=3)
        nothing = self.refused(MODEL, "--bpw", "0.1:0.5", "-o", self.directory / "x.svg", code=1)
        self.assertRegex(nothing, r"smallest gguf file of this model, \d+ bytes \(2\.\d+ bits per weight\)")
        self.assertNotEqual(run("frontier", MODEL).returncode, 0)
        error = json.loads(run("frontier", MODEL, "--bpw", "5:2", "--json").stdout)["error"]
        self.assertEqual(error["reason"], "RANGE_INVALID")


if __name__ == "__main__":
    unittest.main(verbosity=2)
