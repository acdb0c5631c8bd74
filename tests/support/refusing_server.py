"""A storage server that refuses every request with one error.

python -m tests.support.refusing_server STATUS CODE WORDS prints the port and serves until it is killed. delta-rs holds
Python's lock while it reads a log, so its server must run in another process.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY, SIGNED = "AKIAEXAMPLEKEY", "string-to-sign-of-the-request"


class Refusing(BaseHTTPRequestHandler):
    """Answer every request with one error in both clouds' form, which quotes what must never be logged."""

    status, code, words = 403, "AccessDenied", ""

    def do_GET(self) -> None:
        told = f"<Code>{self.code}</Code><Message>{self.words}</Message><AWSAccessKeyId>{KEY}</AWSAccessKeyId>"
        body = f'<?xml version="1.0"?><Error>{told}<StringToSign>{SIGNED}</StringToSign></Error>'.encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    status, Refusing.code, Refusing.words = sys.argv[1:]
    Refusing.status = int(status)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
