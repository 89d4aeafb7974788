# SPDX-License-Identifier: MIT OR Apache-2.0
# A program to run in the sandbox: `unsandbox run examples/hello.py`.
print("hello from the sandbox")
