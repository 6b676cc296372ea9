"""Start `console-login` as a fork of a process that has already imported everything.

The imports take seconds at each start. A fork gets the command's arguments, environment, folder,
umask, standard streams and signals, and the command exits with the fork's status. Tests of the
start run `.venv/bin/console-login`.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import programs

# The program that a test starts. It requests a fork, forwards signals and exits as the fork did.
_CLIENT = """\
import json, os, signal, socket, sys
request = [sys.argv, os.getcwd(), dict(os.environ), os.umask(0), {margin}]
request = json.dumps(request).encode()
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
socket.send_fds(connection, [len(request).to_bytes(4)], [0, 1, 2])
connection.sendall(request)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, _: connection.sendall(bytes([number])))
status = int(connection.recv(9))
if status < 0:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [-status])
    if status != -signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""

# The same program without a fork.
_PLAIN = """\
import sys
from console_login.__main__ import main
if "drain" in sys.argv and {margin} is not None:
    from console_login.operate import drain
    drain.MARGIN_SECONDS = {margin}
main()
"""


@functools.cache
def command(margin: int | None = None, *, forks: bool = sys.platform == "linux") -> Path:
    """Return the path of a `console-login`, the only file in its folder.

    margin: the seconds that `drain` waits beyond the buffers (None: as in the code).
    forks: start as a fork, which needs Linux; otherwise as a new process.
    """
    path = Path(tempfile.mkdtemp(dir=_folder())) / "console-login"
    if forks:
        programs.write(path, _CLIENT.format(address=_address(), margin=margin), "-ISE")
    else:
        programs.write(path, _PLAIN.format(margin=margin))
    return path


@functools.cache
def _folder() -> str:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return folder.name


@functools.cache
def _address() -> str:
    """Start the process that forks, and return its socket. It ends when this process ends."""
    address = f"{_folder()}/socket"
    process = subprocess.Popen(
        [sys.executable, __file__, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)
    return address


def _serve(address: str) -> None:
    """Fork for each client until stdin ends; return only in the forks, which run the command."""
    import console_login

    for module in pkgutil.walk_packages(console_login.__path__, "console_login."):
        importlib.import_module(module.name)
    # moto and botocore load most of their code at first use.
    from console_login.local import moto_state
    from console_login.stack import template

    with moto_state.started(template.load(), {}):
        gc.freeze()
    # Let the kernel reap the ended processes between this process and the commands.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    os.write(1, b"ready\n")
    while select.select([server, 0], [], [])[0] == [server]:
        connection, _ = server.accept()
        if not os.fork():
            server.close()
            return _fork(connection)
        connection.close()
    # The other process removes nothing if it is killed.
    shutil.rmtree(Path(address).parent)
    os._exit(0)


def _fork(connection: socket.socket) -> None:
    """Wait for the command and send its status to the client; return only in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    request = json.loads(connection.recv(int.from_bytes(size), socket.MSG_WAITALL))
    pid = os.fork()
    if not pid:
        connection.close()
        return _become(request, streams)
    for stream in (0, 1, 2, *streams):
        os.close(stream)
    ended = os.pidfd_open(pid)
    while ended not in select.select([connection, ended], [], [])[0]:
        # If the client is gone (no byte to read), kill the command too.
        os.kill(pid, (connection.recv(1) or bytes([signal.SIGKILL]))[0])
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    connection.sendall(str(status).encode())
    os._exit(0)


def _become(request: Any, streams: list[int]) -> None:
    from moto.moto_api._internal import mock_random

    from console_login.operate import drain

    sys.argv, folder, environment, umask, margin = request
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    # Otherwise every fork would create the same ids.
    mock_random.seed()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1)
    if margin is not None:
        drain.MARGIN_SECONDS = margin


if __name__ == "__main__":
    _serve(sys.argv[1])
    from console_login.__main__ import main

    main()
