"""What needs no server: sizes, specs, checksums, errors, which files are sent."""
import os
import random
import unittest

from twins import MODEL, TemporaryTest

import nashswarm
from nashswarm import _digest, _files, _spec, errors
from nashswarm.v1 import nashswarm_pb2 as pb


class SpecTest(unittest.TestCase):
    def test_targets(self):
        for arguments, field, value in (({"bpw": 4.5}, "bits_per_weight", 4.5), ({"bpw": "3"}, "bits_per_weight", 3), ({"size": "50MB"}, "size_bytes", 50_000_000),
                                        ({"size": "1.5 GiB"}, "size_bytes", 1610612736), ({"size": 123}, "size_bytes", 123),
                                        ({"ratio": "90%"}, "ratio", 0.9), ({"ratio": "10x"}, "ratio", 0.9), ({"ratio": 0.5}, "ratio", 0.5),
                                        ({"max_ppl_increase": "2%", "calibrate": "self"}, "max_ppl_increase", 0.02),
                                        ({"max_kl": 0.01, "calibrate": "self"}, "max_kl", 0.01)):
            spec = _spec.Request(**arguments).to_message()
            self.assertEqual((spec.WhichOneof("target"), getattr(spec, field)), (field, value))

    def test_refusals(self):
        for arguments in ({}, {"bpw": 4, "ratio": 0.5}, {"bpw": 0}, {"bpw": 33}, {"bpw": "4 bits"}, {"bpw": "nan"}, {"size": "50 miles"}, {"size": "0"},
                          {"ratio": 1}, {"ratio": "0x"}, {"max_ppl_increase": 2, "calibrate": "self"}, {"max_kl": 0.1}, {"bpw": 4, "calibration_tokens": 5},
                          {"bpw": 4, "calibrate": "self", "imatrix": "f"}, {"bpw": 4, "swarm": 5}, {"bpw": 4, "swarm_seconds": 5, "calibrate": "self"},
                          {"bpw": 4, "evaluation_tokens": 3}, {"bpw": 4, "expert_order": "together"},
                          {"bpw": 4, "expert_order": "together", "imatrix": "f"}, {"bpw": 4, "expert_order": "random", "calibrate": "self"}):
            with self.assertRaises(nashswarm.InvalidRequestError, msg=arguments):
                _spec.Request(**arguments).to_message()
        with self.assertRaises(nashswarm.NotFoundError):
            _spec.Request(bpw=4, calibrate="/nonexistent/text.txt").to_message()

    def test_the_whole_of_it(self):
        spec = _spec.Request(bpw=4, format="nsq", calibrate="models/t", calibration_tokens=9, evaluate="models/e", evaluation_context=64, context_rounds=2,
                             swarm=7, rules={"a": "Q6_K", "b": "keep"}, seed=3, threads=2, zero_non_finite=True, expert_order="together").to_message()
        self.assertEqual(spec, pb.CompressionSpec(
            bits_per_weight=4, artifact_format="nsq", calibration={"text": "models/t", "tokens": 9}, evaluation={"text": "models/e", "context": 64},
            search={"context_rounds": 2, "swarm_evaluations": 7}, seed=3, threads=2, zero_non_finite=True,
            expert_order=pb.CompressionSpec.TOGETHER,
            rules=[{"pattern": "a", "format": "Q6_K"}, {"pattern": "b", "format": "keep"}]))
        self.assertEqual(_spec.data_fields(spec), [])


class DigestTest(unittest.TestCase):
    def test_crc32c(self):
        """The check value of the CRC catalogue, RFC 3720's vectors, and any length against a bit by bit one."""
        crc = _digest._numpy_crc32c
        self.assertEqual(crc(b"123456789"), 0xE3069283)
        self.assertEqual([crc(bytes(32)), crc(b"\xff" * 32), crc(bytes(range(32)))], [0x8A9136AA, 0x62A8AB43, 0x46DD794E])
        source = random.Random(1)
        for length in [*range(70), 127, 1000, 4095, 65536, 300_001]:
            data = source.randbytes(length)
            value = 0xFFFFFFFF
            for byte in data[-2000:] if length > 2000 else data:
                value ^= byte
                for _ in range(8):
                    value = (value >> 1) ^ (0x82F63B78 * (value & 1))
            if length <= 2000:
                self.assertEqual(crc(data), value ^ 0xFFFFFFFF, length)
            else:  # linear: of three of a length, the checksum of the sum is the sum of the checksums
                a, b = source.randbytes(length), source.randbytes(length)
                both = bytes(x ^ y ^ z for x, y, z in zip(a, b, data))
                self.assertEqual(crc(both), crc(a) ^ crc(b) ^ crc(data))
                self.assertEqual(crc(data[:1000] + bytes(0)), crc(data[:1000]))


class ErrorTest(unittest.TestCase):
    def test_classes(self):
        for code, reason, kind in (("NOT_FOUND", "", "NotFoundError"), ("DATA_LOSS", "X", "CorruptDataError"), ("INTERNAL", "X", "ServerError"),
                                   ("FAILED_PRECONDITION", "TARGET_INFEASIBLE", "TargetInfeasibleError"), ("UNAVAILABLE", "TLS_FAILED", "TlsError"),
                                   ("ABORTED", "", "ConflictError"), ("PERMISSION_DENIED", "", "AuthError"), ("RESOURCE_EXHAUSTED", "", "QuotaError")):
            error = errors.make_error(code, reason, "what", "do this")
            self.assertIs(type(error), getattr(nashswarm, kind))
            self.assertIn("hint: do this", str(error))

    def test_a_stream_cut_off_by_the_server_names_its_reason_in_the_message(self):
        error = errors.from_proto(pb.Error(code=4, message="UPLOAD_TOO_SLOW: nothing came"))
        self.assertEqual((error.reason, error.message), ("UPLOAD_TOO_SLOW", "nothing came"))


class FilesTest(TemporaryTest):
    def test_what_is_sent(self):
        for name in ("config.json", "model.safetensors", "consolidated.safetensors", "pytorch_model.bin", "README.md", "train.py", ".hidden.json", "tokenizer.model",
                     "pytorch_model.bin.index.json", "LICENSE"):
            (self.directory / name).write_text("x")
        names = [file.name for file in _files.select_checkpoint(str(self.directory))]
        self.assertEqual(names, ["LICENSE", "README.md", "config.json", "model.safetensors", "tokenizer.model"])
        (self.directory / "secret.json").symlink_to("/etc/hostname")
        with self.assertRaises(nashswarm.CorruptDataError) as caught:
            _files.select_checkpoint(str(self.directory))
        self.assertEqual(caught.exception.reason, "LINK_OUTSIDE")
        self.assertIn("model.safetensors", [file.name for file in _files.select_checkpoint(str(MODEL))])

    def test_the_name_of_a_checkpoint(self):
        hub = "/home/me/.cache/huggingface/hub/"
        for source, name in (("/models/My-Tune-6M/", "My-Tune-6M"), (hub + "models--org--name-1b/snapshots/0123abc", "org/name-1b"),
                             (hub + "models--gpt2/snapshots/0123abc", "gpt2"), (hub + "models--org--name/blobs/0123abc", "0123abc"),
                             ("/models/café", "café"), (os.fsdecode(b"/models/caf\xe9"), ""), ("/models/two\nlines", ""),
                             ("/models/" + "é" * 120, "é" * 100), ("/models/" + "n" * 199 + "é", "n" * 199),
                             (hub + "models--org--" + "n" * 240 + "/snapshots/0123abc", "org/" + "n" * 196)):
            self.assertEqual(_files.name_of_checkpoint(source), name)

    def test_a_pickle_alone(self):
        (self.directory / "pytorch_model.bin").write_text("x")
        with self.assertRaises(nashswarm.NotFoundError) as caught:
            _files.select_checkpoint(str(self.directory))
        self.assertIn("pickle", caught.exception.hint)

    def test_ggufs_and_adapters_are_no_sources(self):
        (self.directory / "a.gguf").write_text("GGUF")
        for given in (self.directory, self.directory / "a.gguf"):
            with self.assertRaises(nashswarm.NashswarmError) as caught:
                _files.select_checkpoint(str(given))
            self.assertEqual(caught.exception.reason, "GGUF_AS_SOURCE")
        (self.directory / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
        (self.directory / "adapter_model.safetensors").write_text("x")
        with self.assertRaises(nashswarm.NashswarmError) as caught:
            _files.select_checkpoint(str(self.directory))
        self.assertIn("org/base", str(caught.exception))


if __name__ == "__main__":
    unittest.main(verbosity=2)
