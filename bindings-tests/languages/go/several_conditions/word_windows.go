package main

func word() string { return "other" }
