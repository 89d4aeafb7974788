die "no way on";
