print("hello from pari")
