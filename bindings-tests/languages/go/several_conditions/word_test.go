package main

import "testing"

func TestWord(t *testing.T) {}
