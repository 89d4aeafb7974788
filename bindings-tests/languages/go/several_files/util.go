package main

import "strings"

func trimmed(text string) string { return strings.TrimSpace(text) }
