import std.stdio;

void main() {
    stderr.writeln("oops");
}
