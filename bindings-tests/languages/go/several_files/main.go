package main

import (
	_ "embed"
	"fmt"
)

//go:embed word.txt
var text string

func main() { fmt.Println(trimmed(text)) }
