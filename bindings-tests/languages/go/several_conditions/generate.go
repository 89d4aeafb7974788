//go:build ignore

package main

func word() string { return "generated" }
