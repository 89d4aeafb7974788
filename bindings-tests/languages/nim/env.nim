import os

echo getEnv("GREETING")
