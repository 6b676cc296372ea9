"""Runs the documents' shell blocks as a reader would."""

import contextlib
import io
import json
import os
import re
import socketserver
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import aws_command
import forked
import programs

_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

# The `aws` on the path. It sends requests to this process, so that boto3 is imported only once.
_CLIENT = """\
import json, os, socket, sys
with socket.create_connection(("127.0.0.1", {port})) as connection:
    request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    connection.sendall(json.dumps(request).encode() + b"\\n")
    answer = json.loads(connection.makefile().read())
sys.stdout.write(answer["output"])
sys.exit(answer["error"])
"""


def blocks(path: Path) -> list[str]:
    """Return a document's shell blocks. Blocks in lists lose their indentation."""
    text = path.read_text()
    found = [re.sub(rf"^{each[1]}", "", each[2], flags=re.M) for each in _BLOCK.finditer(text)]
    assert len(found) == text.count("```sh")
    return found


def run(
    script: str, folder: Path, environment: Mapping[str, str], margin: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder, with `console-login` and a stand-in for `aws` on the path.

    margin: the seconds that `drain` waits beyond the buffers (None: as in the code).
    """
    with _aws(folder / "bin" / "aws") as aws:
        folders = (aws.parent, forked.command(margin).parent, Path(sys.executable).parent)
        path = ":".join([*map(str, folders), os.environ["PATH"]])
        credentials = {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "ap-northeast-1",
        }
        return subprocess.run(
            ["sh", "-euc", script],
            cwd=folder,
            env=os.environ | credentials | {"PATH": path} | environment,
            capture_output=True,
            text=True,
        )


@contextlib.contextmanager
def _aws(command: Path) -> Iterator[Path]:
    with socketserver.TCPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        command.parent.mkdir(exist_ok=True)
        programs.write(command, _CLIENT.format(port=server.server_address[1]), "-SE")
        yield command
        server.shutdown()
        thread.join()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        output = io.StringIO()
        error = None
        try:
            aws_command.main(
                request["arguments"], request["environment"], Path(request["folder"]), output
            )
        # Errors go to stderr, as with a real command.
        except Exception:  # noqa: BLE001
            error = traceback.format_exc()
        answer = {"output": output.getvalue(), "error": error}
        self.wfile.write(json.dumps(answer).encode())
