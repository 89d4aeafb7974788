package main

import "os"

func main() {
	text, err := os.ReadFile("data.txt")
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(text)
}
