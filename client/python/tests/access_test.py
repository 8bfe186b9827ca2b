"""TLS, tokens and client certificates against a real server, and what the clients say when they do not fit."""
import os
import signal
import socket
import subprocess
import unittest

from twins import MODEL, Server, TemporaryTest, settle

import nashswarm
from nashswarm import _access


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    def __init__(self, directory, name):
        self.directory, self.cert, self.key = directory, directory / f"{name}.crt", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert)

    def issue(self, name, host):
        paths = [self.directory / f"{name}{ending}" for ending in (".crt", ".key", ".csr", ".san")]
        paths[3].write_text(f"subjectAltName=DNS:{host}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", paths[1],
                "-out", paths[2])
        openssl("x509", "-req", "-in", paths[2], "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile",
                paths[3], "-out", paths[0])
        return paths[0], paths[1]


class TlsTest(TemporaryTest):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.directory, "ca")
        cert, key = self.authority.issue("server", "localhost")
        tokens = self.directory / "tokens"
        made = subprocess.run([f"{os.environ['NASHSWARM_BIN_DIR']}/nashswarmd", "token", "--tenant", "team-a", "--subject", "test",
                               "--append", str(tokens)], check=True, capture_output=True, text=True)
        self.token = made.stdout.strip()
        self.flags = ["--tls-cert", str(cert), "--tls-key", str(key)]
        self.tokens = ["--tokens", str(tokens)]

    def serve(self, *flags):
        server = Server(self.directory, *self.flags, *flags)
        self.addCleanup(server.stop, signal.SIGKILL)
        return "https://localhost:" + server.address.rpartition(":")[2]

    def test_a_token_over_tls(self):
        address = self.serve(*self.tokens)

        async def scenario(client, directory):
            self.assertEqual((await settle(client.push(MODEL))).architecture, "gpt2")
        self.with_both(scenario, address, ca=self.authority.cert, token=self.token)
        file = self.directory / "token"
        file.write_text(self.token + "\n")
        os.environ.update(NASHSWARM_SERVER=address, NASHSWARM_CA=str(self.authority.cert), NASHSWARM_TOKEN_FILE=str(file))
        for name in ("NASHSWARM_SERVER", "NASHSWARM_CA", "NASHSWARM_TOKEN_FILE"):
            self.addCleanup(os.environ.pop, name)
        with nashswarm.Client() as client:
            self.assertEqual(len(client.models()), 1)
            file.write_text("a wrong one\n")  # read again for each call: and a token has no spaces
            with self.assertRaises(nashswarm.AuthError) as caught:
                client.models()
            self.assertEqual(caught.exception.reason, "TOKEN_FILE")

    def test_refused_callers(self):
        address = self.serve(*self.tokens)

        async def no_token(client, directory):
            self.assertEqual((await self.error_of(nashswarm.AuthError, client.models)).code, "UNAUTHENTICATED")
        self.with_both(no_token, address, ca=self.authority.cert)
        self.directory = self.directory / "again"
        self.directory.mkdir()
        self.with_both(no_token, address, ca=self.authority.cert, token="wrong")

    def test_connections_that_fail_for_tls(self):
        address = self.serve("--tls-client-ca", str(self.authority.cert))
        stranger = Authority(self.directory, "stranger")
        by_number = address.replace("localhost", "127.0.0.1")
        own = self.authority.issue("client", "client")
        theirs = stranger.issue("intruder", "client")
        with nashswarm.Client(address, ca=self.authority.cert, cert=own[0], key=own[1]) as client:
            self.assertEqual(client.models(), [])
        for where, arguments, reasons in (
                (address, {"ca": stranger.cert, "cert": own[0], "key": own[1]}, {"TLS_UNTRUSTED"}),
                (by_number, {"ca": self.authority.cert, "cert": own[0], "key": own[1]}, {"TLS_WRONG_NAME"}),
                (address, {"ca": self.authority.cert}, {"TLS_FAILED", "TLS_CERTIFICATE_REFUSED"}),
                (address, {"ca": self.authority.cert, "cert": theirs[0], "key": theirs[1]}, {"TLS_FAILED", "TLS_CERTIFICATE_REFUSED"})):
            with self.subTest(reasons=reasons):
                error = self.refusal(where, arguments)
                self.assertIsInstance(error, nashswarm.TlsError, error)
                self.assertIn(error.reason, reasons)
                self.assertTrue(error.hint)

    def refusal(self, where, arguments):
        """Of localhost gRPC tries ::1 too, where nobody listens, and reports the address that failed last."""
        for _ in range(10):
            with nashswarm.Client(where, first_contact=0.5, **arguments) as client:
                with self.assertRaises(nashswarm.UnreachableError) as caught:
                    client.models()
            if "::1" not in str(caught.exception) and "5B::1" not in str(caught.exception):
                break
        return caught.exception


class AddressTest(TemporaryTest):
    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

        async def scenario(client, directory):
            error = await self.error_of(nashswarm.UnreachableError, client.models)
            self.assertEqual((error.code, error.reason), ("UNAVAILABLE", "SERVER_UNREACHABLE"))
            self.assertIn(f"127.0.0.1:{port}", str(error))
            self.assertIsInstance(error, ConnectionError)
        self.with_both(scenario, f"127.0.0.1:{port}", first_contact=0.5)

    def test_what_addresses_and_arguments_mean(self):
        resolve = _access.resolve
        for address, tls, expected in (("a:1", None, ("a:1", False)), ("a:1", True, ("a:1", True)), ("https://a:1/", None, ("a:1", True)),
                                       ("grpc://a:1", None, ("a:1", False)), ("unix:/s", None, ("unix:/s", False))):
            access = resolve(address, tls=tls)
            self.assertEqual((access.target, access.tls), expected)
        for arguments in ({"address": None}, {"address": "http://a:1", "tls": True}, {"address": "a:1", "token": "t"},
                          {"address": "127.example.org:1", "token": "t"}, {"address": "a:1", "ca": "f"},
                          {"address": "https://a:1", "cert": "f"}):
            with self.assertRaises(nashswarm.InvalidRequestError, msg=arguments) as caught:
                resolve(**arguments)
            self.assertTrue(caught.exception.hint)
        for address in ("127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/s", "https://a:1"):
            self.assertEqual(resolve(address, token=" t\n").current_token(), "t")
        self.assertEqual(resolve("a:1", token="t", send_token_unencrypted=True).token, "t")


if __name__ == "__main__":
    unittest.main(verbosity=2)
