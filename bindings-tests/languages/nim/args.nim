import os

for arg in commandLineParams():
  echo arg
