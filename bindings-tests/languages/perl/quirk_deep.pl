no warnings "recursion";
sub depth { my $n = shift; $n == 0 ? 0 : 1 + depth($n - 1) }
print depth(100_000) == 100_000 ? "quirk\n" : "wrong\n";
