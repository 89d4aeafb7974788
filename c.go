package main
// #include "u.h"
import "C"
func main() { println(C.tw(2)) }
