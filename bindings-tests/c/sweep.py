# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls every function with zeros, in a process of its own, and prints what came back as JSON."""

from __future__ import annotations

import ctypes
import json
import sys

from prototypes import Prototype, prototypes

INTEGERS = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
}


def zero(parameter: str) -> object:
    kind = parameter.split()[0]
    if "*" in parameter or kind.endswith("_fn"):
        return ctypes.c_void_p(None)
    return INTEGERS[kind](0)


def call(library: ctypes.CDLL, it: Prototype, err: ctypes.c_void_p | None) -> object:
    function = getattr(library, it.name)
    function.restype = ctypes.c_void_p if "*" in it.returns else INTEGERS.get(it.returns)
    arguments = [zero(parameter) for parameter in it.parameters]
    if it.is_operation and err is not None:
        arguments[-1] = ctypes.byref(err)
    return function(*arguments)


def text(library: ctypes.CDLL, getter: str, err: ctypes.c_void_p) -> str:
    function = getattr(library, getter)
    function.restype = ctypes.c_char_p
    return (function(err, None) or b"").decode()


def main(path: str, mode: str) -> None:
    library = ctypes.CDLL(path)
    arm = library.unsandbox_test_arm_panics if mode == "panic" else lambda _: None
    seen = {}
    for it in prototypes():
        arm(1)
        # Without an error object first: it may be NULL everywhere.
        value = call(library, it, None)
        err = ctypes.c_void_p()
        if it.is_operation:
            assert call(library, it, err) == value
        arm(0)
        entry = {"value": value}
        if err:
            entry["code"] = library.unsandbox_error_code(err)
            entry["message"] = text(library, "unsandbox_error_message", err)
            entry["cause"] = text(library, "unsandbox_error_cause", err)
            library.unsandbox_error_free(err)
        seen[it.name] = entry
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
