say "started";
$*OUT.flush;
loop { }
