import strutils

for line in stdin.lines:
  echo line.toUpperAscii
