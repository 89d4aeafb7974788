# SPDX-License-Identifier: MIT OR Apache-2.0
use strict;
use warnings;

sub lines { my ($name) = @_; print "$name $_\n" for 0 .. 5999 }

lines("first");
my $child = fork;
if ($child == 0) { lines("child"); exit }
waitpid($child, 0);
system("echo", "shell");
lines("thread");
syswrite(STDOUT, "raw\n");
lines("last");
