package main

import (
	"embed"
	"fmt"
)

//go:embed data/*
var fs embed.FS

func main() { b, _ := fs.ReadFile("data/x.txt"); fmt.Print(string(b)) }
