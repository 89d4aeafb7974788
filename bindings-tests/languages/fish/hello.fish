echo "hello from fish"
