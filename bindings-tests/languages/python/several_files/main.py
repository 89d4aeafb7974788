from util import word

print(word)
