package main

func main() {
	var nothing []int
	_ = nothing[3]
}
