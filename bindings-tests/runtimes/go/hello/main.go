// SPDX-License-Identifier: MIT OR Apache-2.0

// Runs one program and prints what it wrote: go run ./hello
package main

import (
	"fmt"
	"log"
	"os"

	"example.com/unsandbox/unsandbox"
)

func main() {
	client, err := unsandbox.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	result, err := client.Execute("python", "print(6 * 7)")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(result.Stdout)
	os.Exit(result.ExitCode)
}
