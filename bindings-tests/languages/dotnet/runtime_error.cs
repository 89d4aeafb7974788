throw new InvalidOperationException("no way on");
