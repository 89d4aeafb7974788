# SPDX-License-Identifier: MIT OR Apache-2.0
import os
import subprocess
import sys
import threading


def lines(name):
    for at in range(5999):
        print(name, at)
    sys.stdout.buffer.write(f"{name} 5999\n".encode())


lines("first")
if (child := os.fork()) == 0:
    lines("child")
    sys.exit()
os.waitpid(child, 0)
subprocess.run(["echo", "shell"])
thread = threading.Thread(target=lines, args=["thread"])
thread.start()
thread.join()
os.write(1, b"raw\n")
sys.stdout.reconfigure(errors="replace")
lines("last")
