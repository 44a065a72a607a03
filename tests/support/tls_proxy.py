"""A small proxy with TLS, as one stands before a server: it takes a prefix away, and says what it was asked by."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


def certificate(folder: Path) -> Path:
    """A file with a new key, and its own certificate of 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "authority.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def tls_proxy(port: int, chain: Path, prefix: str = "") -> Iterator[str]:
    """The URL, with the prefix, of a proxy before a port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {n: t for n, t in self.headers.items() if n.lower() not in _OF_THE_CONNECTION}
            headers |= {
                "Host": self.headers["host"],
                "X-Forwarded-Proto": "https",
                "X-Forwarded-For": self.headers.get("x-forwarded-for") or self.client_address[0],
            }
            behind = HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                behind.request(self.command, self.path.removeprefix(prefix), body, headers)
                answer = behind.getresponse()
                content = answer.read()
            finally:
                behind.close()
            self.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in _OF_THE_CONNECTION:
                    self.send_header(name, text)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = pass_on  # noqa: N815 - as the base has them

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
