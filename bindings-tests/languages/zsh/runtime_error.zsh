set -e
cat no-such-file
