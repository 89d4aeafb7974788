# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls every function with one pointer NULL and all else good, in a process of its own, and prints what came back.

A data pointer that is NULL comes with a length of 3, and once more with the one for text that ends in NUL.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Iterator

from prototypes import Prototype, prototypes
from sweep import INTEGERS

NUL_TERMINATED = ctypes.c_size_t(-1)
CALLBACKS = {
    "unsandbox_output_fn": ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t),
    "unsandbox_read_fn": ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t),
    "unsandbox_log_fn": ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_size_t),
    "unsandbox_notify_fn": ctypes.CFUNCTYPE(None, ctypes.c_void_p),
    "unsandbox_free_fn": ctypes.CFUNCTYPE(None, ctypes.c_void_p),
}  # fmt: skip
#: Values that mean something, by the names of parameters; others are any text.
TEXTS = {
    "job_id": b"job-1",
    "after": b"job-1",
    "method": b"languages",
    "json": b"{}",
    "policy": b"auto",
    "rerun": b"if_lost",
    "name": b"memory_bytes",
    "directory": tempfile.gettempdir().encode(),
}
#: Callbacks outlive the calls that they were given to.
KEPT = {name: kind(lambda *_: 0) for name, kind in CALLBACKS.items()}


class Objects:
    """One good object of each type, made through the library itself."""

    def __init__(self, library: ctypes.CDLL, url: str) -> None:
        self.library = library
        self.made: dict[str, ctypes.c_void_p] = {}
        client = self.client(url)
        request = self.new("request", "request_new", b"python", 6, b"fine", 4)
        self.new("cancel_token", "cancel_token_new")
        result = self.new("result", "client_execute", client, request, None)
        self.made["artifact"] = self.got("result_artifact", result, 0)
        self.new("job", "client_get_job", client, b"job-1", 5, None)
        self.new("job_list", "client_list_jobs", client, None)
        languages = self.new("language_list", "client_languages", client, None)
        self.made["language"] = self.got("language_list_at", languages, 0)
        self.new("key", "client_validate_key", client, None)
        self.new("usage", "client_usage", client, None)
        self.new("health", "client_health", client, None)
        # Kept at its end, where it has no more to wait for.
        events = self.new("events", "events_new", client, b"job-1", 5, ctypes.c_uint64(0), ctypes.c_uint64(0), None)
        event = ctypes.c_void_p()
        while not library.unsandbox_events_next(events, ctypes.c_int64(-1), ctypes.byref(event), None) and event:
            self.made["event"] = ctypes.c_void_p(event.value)
        local = self.client("local:")
        self.new("probe", "client_probe", local)
        self.new("task", "task_start", client, request, None, None, None)
        self.url = url
        err = ctypes.c_void_p()
        library.unsandbox_request_new(b"\xff", 1, None, 0, ctypes.byref(ctypes.c_void_p()), ctypes.byref(err))
        self.made["error"] = err
        self.clients = {"unsandbox_client_probe": local}
        self.made["client"] = client
        assert all(self.made.values()), self.made

    def new(self, kind: str, function: str, *words: object) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        status = getattr(self.library, f"unsandbox_{function}")(*words, ctypes.byref(made), None)
        assert status == 0, (function, status)
        self.made[kind] = made
        return made

    def got(self, function: str, *words: object) -> ctypes.c_void_p:
        getter = getattr(self.library, f"unsandbox_{function}")
        getter.restype = ctypes.c_void_p
        return ctypes.c_void_p(getter(*words))

    def client(self, url: str) -> ctypes.c_void_p:
        return self.new("client", "client_new", self.config(url))

    def config(self, url: str) -> ctypes.c_void_p:
        config = self.new("config", "config_new")
        address = url.encode()
        assert self.library.unsandbox_config_set_base_url(config, address, ctypes.c_size_t(len(address)), None) == 0
        assert self.library.unsandbox_config_set_retries(config, 0, None) == 0
        return config

    def good(self, function: str, parameter: str) -> object:
        """A good argument for a parameter."""
        words = parameter.replace("*", " * ").replace("const ", "").split()
        kind, stars = words[0], words.count("*")
        if kind in KEPT:
            return KEPT[kind]
        if stars == 2:
            return ctypes.byref(ctypes.c_void_p())
        if stars == 0:
            name = words[-1]
            return INTEGERS[kind](len(TEXTS.get(name.removesuffix("_len"), b"abc")) if name.endswith("_len") else name != "index")
        if kind in ("char", "uint8_t"):
            return ctypes.c_char_p(TEXTS.get(words[-1], b"abc"))
        if kind in INTEGERS or kind == "void":
            return ctypes.byref(ctypes.c_uint64())
        if kind == "unsandbox_client" and function in self.clients:
            return self.clients[function]
        return self.handle(kind.removeprefix("unsandbox_"))

    def handle(self, kind: str) -> ctypes.c_void_p:
        """Those that functions change are new each time."""
        if kind == "request":
            return self.new("request", "request_new", b"python", 6, b"fine", 4)
        if kind == "config":
            return self.config(self.url)
        return self.new("options", "options_new") if kind == "options" else self.made[kind]


def variants(objects: Objects, it: Prototype) -> Iterator[tuple[str, list[object]]]:
    """The name of what is NULL, and the arguments."""
    for index, parameter in enumerate(it.parameters):
        if "*" not in parameter and parameter.split()[0] not in KEPT:
            continue
        if not it.name.endswith("_free") or parameter != it.parameters[0]:
            name = parameter.split()[-1].lstrip("*")
            arguments = [objects.good(it.name, each) for each in it.parameters]
            arguments[index] = ctypes.c_void_p(None)
            yield name, arguments
            following = it.parameters[index + 1 : index + 2]
            if following and following[0].endswith(f"{name}_len") and "*" not in following[0]:
                yield f"{name} without end", [*arguments[: index + 1], NUL_TERMINATED, *arguments[index + 2 :]]


def main(path: str, url: str) -> None:
    library = ctypes.CDLL(path)
    objects = Objects(library, url)
    seen: dict[str, dict[str, int]] = {}
    for it in prototypes():
        function = getattr(library, it.name)
        function.restype = ctypes.c_void_p if "*" in it.returns else INTEGERS.get(it.returns)
        for name, arguments in variants(objects, it):
            seen.setdefault(it.name, {})[name] = function(*arguments)
    print(json.dumps(seen), flush=True)
    # A callback of Python may still be on its way, and would meet an interpreter that ends.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
