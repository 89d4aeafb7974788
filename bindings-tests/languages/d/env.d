import std.process, std.stdio;

void main() {
    writeln(environment["GREETING"]);
}
