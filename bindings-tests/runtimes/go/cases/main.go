// SPDX-License-Identifier: MIT OR Apache-2.0

// Answers the lines of ../../driver.py.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"example.com/unsandbox/unsandbox"
)

func answer(clients map[string]*unsandbox.Client, words []string) ([]byte, error) {
	name, key := words[0]+"\t"+words[1], words[1]
	if clients[name] == nil {
		if key == "-" {
			key = ""
		}
		client, err := unsandbox.New(words[0], key)
		if err != nil {
			return nil, err
		}
		clients[name] = client
	}
	return clients[name].CallJSON(words[2], words[3])
}

func main() {
	clients := map[string]*unsandbox.Client{}
	lines := bufio.NewReader(os.Stdin)
	for {
		line, end := lines.ReadString('\n')
		if end != nil {
			break
		}
		reply, err := answer(clients, strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4))
		var known *unsandbox.Error
		switch {
		case err == nil:
			fmt.Printf("ok\t%s\n", reply)
		case errors.As(err, &known):
			fmt.Printf("%s\t%s\n", known.Code, known.Message)
		default:
			log.Fatal(err)
		}
	}
	for _, client := range clients {
		client.Close()
	}
}
