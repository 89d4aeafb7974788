for lines() -> $line {
    say $line.uc;
}
