print(open("data.txt").read(), end="")
