fn main() {
	number := 1
	number = 'text'
}
