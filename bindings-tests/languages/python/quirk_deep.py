import sys
import threading

sys.setrecursionlimit(10**6)
threading.stack_size(64 << 20)


def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)


thread = threading.Thread(target=lambda: print("quirk" if depth(50_000) == 50_000 else "wrong"))
thread.start()
thread.join()
