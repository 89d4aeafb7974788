throw new IllegalStateException('no way on')
