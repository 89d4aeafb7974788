package main

func word() string { return "sever" }
