package main

import (
	"io"
	"os"
	"strings"
)

func main() {
	text, _ := io.ReadAll(os.Stdin)
	os.Stdout.WriteString(strings.ToUpper(string(text)))
}
