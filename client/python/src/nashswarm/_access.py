"""Where the server is, how it is reached, and what is shown to it: the rules of the command line client."""
from __future__ import annotations

import dataclasses
import os
import re

import grpc

from nashswarm.errors import NashswarmError, local_files, make_error, usage

Path = str | os.PathLike[str]
_SCHEMES = {"https://": True, "grpcs://": True, "http://": False, "grpc://": False}
_MAX_TOKEN_BYTES = 12 << 10  # servers take metadata of 16 KiB


@dataclasses.dataclass(frozen=True)
class Access:
    """A server and how to speak to it. Files are paths of PEM files."""

    address: str
    target: str  # for gRPC
    tls: bool
    ca: str = ""
    cert: str = ""
    key: str = ""
    token: str = ""
    token_file: str = ""

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None: plaintext."""
        if not self.tls:
            return None
        return grpc.ssl_channel_credentials(_pem(self.ca), _pem(self.key), _pem(self.cert))

    def current_token(self) -> str:
        """Reads the file each time: whoever keeps it may replace it during a long transfer."""
        if self.token:
            return _clean(self.token, "the token")
        if not self.token_file:
            return ""
        with local_files(), open(self.token_file, encoding="utf-8", errors="replace") as file:
            return _clean(file.read(_MAX_TOKEN_BYTES), self.token_file)


def _from_environment(given: Path | None, variable: str) -> str:
    return os.fspath(given) if given is not None else os.environ.get(variable, "")


def resolve(address: str | None, *, tls: bool | None = None, ca: Path | None = None, cert: Path | None = None,
            key: Path | None = None, token: str | None = None, token_file: Path | None = None,
            send_token_unencrypted: bool = False) -> Access:
    """What is not given comes from NASHSWARM_SERVER, _TLS, _CA, _CERT, _KEY, _TOKEN and _TOKEN_FILE."""
    address = address if address is not None else os.environ.get("NASHSWARM_SERVER", "")
    if not address:
        raise usage("there is no server", "give Client('host:port'), set NASHSWARM_SERVER, or use nashswarm.local()")
    if tls is None:
        tls = os.environ.get("NASHSWARM_TLS", "").lower() in ("1", "true", "yes", "on") or None
    target, encrypted = address, bool(tls)
    for scheme, scheme_tls in _SCHEMES.items():
        if address.startswith(scheme):
            if tls is not None and tls != scheme_tls:
                raise usage(f"tls={tls} contradicts {scheme} in the address", "leave out one of them")
            target, encrypted = address[len(scheme):], scheme_tls
    target = target.rstrip("/")
    if token is None and token_file is None:
        token, token_file = os.environ.get("NASHSWARM_TOKEN", ""), os.environ.get("NASHSWARM_TOKEN_FILE", "")
    access = Access(address, target, encrypted, _from_environment(ca, "NASHSWARM_CA"),
                    _from_environment(cert, "NASHSWARM_CERT"), _from_environment(key, "NASHSWARM_KEY"), token or "",
                    os.fspath(token_file or ""))
    if (ca or cert or key) and not encrypted:
        raise usage("ca, cert and key are for TLS", "add tls=True, or write https://HOST:PORT")
    if bool(access.cert) != bool(access.key):
        raise usage("cert and key go together", "give the certificate and its private key")
    if (access.token or access.token_file) and not (encrypted or send_token_unencrypted or _is_local(target)):
        raise usage(f"the token would travel unencrypted to {target}, where others can read it",
                    "add tls=True; or, on a network you trust, send_token_unencrypted=True")
    return access


def private(socket: str) -> Access:
    """A server of our own, on a Unix socket."""
    return Access(socket, socket, False)


def _is_local(target: str) -> bool:
    if target.startswith("unix:"):
        return True
    host = target.rpartition(":")[0]
    return host in ("localhost", "[::1]") or re.fullmatch(r"127\.[0-9.]+", host) is not None


def _pem(path: str) -> bytes | None:
    if not path:
        return None
    with local_files(), open(path, "rb") as file:
        pem = file.read(1 << 20)
    if b"-----BEGIN " not in pem:
        raise make_error("FAILED_PRECONDITION", "NOT_PEM", f"{path} is not a PEM file",
                         "a PEM file has lines like -----BEGIN CERTIFICATE-----")
    return pem


def _clean(token: str, where: str) -> str:
    token = token.strip(" \n\r\t")
    if not token or re.search(r"[^\x21-\x7e]", token):
        raise make_error("UNAUTHENTICATED", "TOKEN_FILE", f"{where} holds no token",
                         "it must hold the token and nothing else, on one line")
    return token


_TLS = (
    (("CERTIFICATE_VERIFY_FAILED", "certificate verify failed"), "TLS_UNTRUSTED",
     "the certificate of {} is not of a CA that is trusted here, or has expired", "name the server's CA with ca=FILE"),
    (("Hostname Verification", "is not in peer certificate"), "TLS_WRONG_NAME",
     "the certificate of {} is for another name", "use the name the certificate was made for as the host"),
    (("WRONG_VERSION_NUMBER", "wrong version number"), "TLS_NOT_SPOKEN", "the server at {} does not speak TLS",
     "leave out tls=True, or write http:// instead of https://"),
    (("certificate required", "CERTIFICATE_REQUIRED", "bad certificate", "UNKNOWN_CA", "unknown ca"),
     "TLS_CERTIFICATE_REFUSED", "the server at {} does not accept this client's certificate",
     "give one of a CA that the server trusts: cert=FILE, key=FILE"),
)


def explain_unreachable(access: Access, cause: NashswarmError) -> NashswarmError:
    """The end of all retries: which server, and what to try."""
    message = cause.message
    for signs, reason, what, hint in _TLS:
        if any(sign in message for sign in signs):
            return make_error("UNAVAILABLE", reason, what.format(access.address), hint)
    hung_up = any(sign in message for sign in ("Socket closed", "Connection reset", "handshaker shutdown", "handshake failed"))
    if access.tls and hung_up:
        return make_error("UNAVAILABLE", "TLS_FAILED", f"TLS with the server at {access.address} came to nothing ({message})",
                          "check the address and ca; if the server wants a client certificate, give cert and key")
    return make_error("UNAVAILABLE", "SERVER_UNREACHABLE", f"cannot reach the server at {access.address} ({message})",
                      "check the address, or NASHSWARM_SERVER" + ("" if access.tls else ", add tls=True if it is encrypted")
                      + ", and that nashswarmd runs there")
