using System;

class Broken {
    static void Main() { throw new InvalidOperationException("no way on"); }
}
