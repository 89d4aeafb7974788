# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server that runs a program of each caller: one client for its whole life, and limits on each program.

It ends when its standard input does.
"""

import sys
import threading
from socketserver import StreamRequestHandler, ThreadingTCPServer

from unsandbox import Client, UnsandboxError

CODE_MAX = 65536


class Answer(StreamRequestHandler):
    def handle(self) -> None:
        """What comes until the caller closes its side is a program; what the program writes goes back."""
        code = self.rfile.read(CODE_MAX).decode(errors="replace")
        try:
            result = client.execute("python", code, ttl=5, limits={"memory_bytes": 256 << 20})
            self.wfile.write(result.stdout_bytes + result.stderr_bytes)
        except UnsandboxError as error:
            self.wfile.write(str(error).encode())


with Client() as client, ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
    print("listening on port", server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever).start()
    sys.stdin.read()
    server.shutdown()  # no more callers
    client.close()  # and no more programs: those that run are ended
