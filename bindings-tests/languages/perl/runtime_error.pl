die "no way on\n";
