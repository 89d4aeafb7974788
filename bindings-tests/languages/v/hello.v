fn main() {
	println('hello from v')
}
