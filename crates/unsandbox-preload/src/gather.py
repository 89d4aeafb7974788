# SPDX-License-Identifier: MIT OR Apache-2.0
# Part of python.rs, which gives it `stream`, `buffer`, `live_write` and `note`. A thread shows every TICK what was
# printed meanwhile; after some of them each write is shown and counted again. It never holds the stream while the
# interpreter ends or forks.
import atexit
import os
from _signal import SIG_BLOCK, SIG_SETMASK, pthread_sigmask, valid_signals
from _thread import allocate_lock, get_native_id, start_new_thread
from time import sleep

TICK = 0.02
TICKS = 10

# Held by the thread, and by a fork and the end of the interpreter, which want that there is none.
gate = allocate_lock()
stop = allocate_lock()
owner = os.getpid()
thread_id = -1
is_held = False


def gather():
    if not gate.acquire(False):
        return True
    stop.acquire(False)
    # A signal is for the program's own threads.
    mask = pthread_sigmask(SIG_BLOCK, valid_signals())
    try:
        start_new_thread(run, ())
        return True
    except RuntimeError:  # no thread more is allowed
        gate.release()
        return False
    finally:
        pthread_sigmask(SIG_SETMASK, mask)


def run():
    global thread_id
    thread_id = get_native_id()
    try:
        note(True)
        del buffer.write
        write_through(False)
        for _ in range(TICKS):
            if stop.acquire(True, TICK):
                break
            show()
        buffer.write = live_write
        note(False)
        show()
        write_through(True)
    except Exception:  # the program has closed it
        pass
    finally:
        gate.release()


def write_through(value):
    try:
        stream.reconfigure(write_through=value)
    except ValueError:  # the program has detached it
        pass


def show():
    try:
        stream.flush()
    except ValueError:
        buffer.flush()


def end():
    # A child of a library's own fork has no thread to wait for.
    if os.getpid() != owner:
        return False
    if stop.locked():
        stop.release()
    return gate.acquire()


def before_fork():
    global is_held
    is_held = end()
    # Python warns of a fork beside threads that the kernel still knows.
    while is_held and os.path.exists("/proc/self/task/%d" % thread_id):
        sleep(0)


def after_fork():
    if is_held:
        gate.release()


def after_fork_in_child():
    global owner, thread_id
    owner, thread_id = os.getpid(), -1
    after_fork()


atexit.register(end)
os.register_at_fork(before=before_fork, after_in_parent=after_fork, after_in_child=after_fork_in_child)
