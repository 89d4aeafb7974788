import io
import os
import sys
import threading
import traceback
import warnings

# Nothing of the engine is in the program's modules, paths, environment and streams.
assert "sitecustomize" not in sys.modules or "/tmp" not in sys.modules["sitecustomize"].__file__
assert not any(path.startswith("/tmp/build") for path in [*sys.path, *sys.path_importer_cache])
assert "PYTHONPATH" not in os.environ
stream = sys.stdout
assert (stream.name, stream.mode, stream.encoding, stream.fileno()) == ("<stdout>", "w", "utf-8", 1)
assert type(stream.buffer) is io.BufferedWriter and type(stream.buffer.raw) is io.FileIO
assert stream.buffer.write.__self__ is stream.buffer

read, write = os.pipe()
kept = os.dup(1)
os.dup2(write, 1)


def lines(name, count=4000):
    for number in range(count):
        print(name, number)
    stream.flush()
    stream.buffer.write(b"bytes\n" * 10)


def in_a_child():
    pid = os.fork()
    if pid == 0:
        lines("child")
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def program():
    warnings.simplefilter("error")
    lines("first")
    in_a_child()
    thread = threading.Thread(target=lines, args=("thread",))
    thread.start()
    thread.join()
    sys.stdout = io.StringIO()
    lines("nowhere")
    sys.stdout = stream
    in_a_child()
    try:
        stream.buffer.write("text")
    except TypeError:
        assert len(traceback.extract_tb(sys.exc_info()[2])) == 1
    assert threading.active_count() == 1
    print("end", end="")
    sys.exit(0)


pid = os.fork()
if pid == 0:
    os.close(read)
    program()
os.close(write)
os.dup2(kept, 1)
with open(read, "rb") as file:
    text = file.read()
assert os.waitpid(pid, 0)[1] == 0
counts = {name: text.count(b"%s " % name) for name in (b"first", b"child", b"thread", b"nowhere")}
assert counts == {b"first": 4000, b"child": 8000, b"thread": 4000, b"nowhere": 0}, counts
assert text.count(b"bytes\n") == 50 and text.endswith(b"\nend"), text[-20:]
print("quirk")
