# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gives a program an input file, and takes back what it leaves in its directory "artifacts"."""

import sys

import unsandbox

CODE = """
total = sum(int(line) for line in open('numbers.txt'))
import os; os.makedirs('artifacts', exist_ok=True)
open('artifacts/total.txt', 'w').write(f'{total}\\n')
print('added up', total)
"""

result = unsandbox.execute("python", CODE, input_files={"numbers.txt": "1\n2\n39\n"})
print(result.stdout + result.stderr, end="")
for artifact in result.artifacts:
    path = artifact.save(sys.argv[1] if len(sys.argv) > 1 else ".")
    print(f"saved {path.name}, {len(artifact.content)} bytes")
