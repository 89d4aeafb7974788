module util;
import std.stdio;
void say() { writeln("several"); }
