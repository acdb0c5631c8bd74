"""Run a storage server that refuses every request with one error.

python -m tests.support.refusing_server STATUS CODE MESSAGE prints the port and serves until it is killed. It is a
process of its own, because delta-rs holds Python's lock while it reads a log.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY, SIGNED = "AKIAEXAMPLEKEY", "string-to-sign-of-the-request"


class RefusingHandler(BaseHTTPRequestHandler):
    """Respond with one error in the format of both clouds, which quotes secrets that must never be logged."""

    status, code, message = 403, "AccessDenied", ""

    def do_GET(self) -> None:
        details = f"<Code>{self.code}</Code><Message>{self.message}</Message><AWSAccessKeyId>{KEY}</AWSAccessKeyId>"
        body = f'<?xml version="1.0"?><Error>{details}<StringToSign>{SIGNED}</StringToSign></Error>'.encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    status, RefusingHandler.code, RefusingHandler.message = sys.argv[1:]
    RefusingHandler.status = int(status)
    with ThreadingHTTPServer(("127.0.0.1", 0), RefusingHandler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
