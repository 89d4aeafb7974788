print("hello from swift")
