use strict;
use warnings;

die "environment" if grep { exists $ENV{$_} } qw(LD_PRELOAD);
sub lines { my ($word) = @_; print "$word $_\n" for 0 .. 3999 }

open(my $file, "+>", "quirk.txt") or die $!;
print $file "first\nsecond\n";
seek($file, 0, 0);
my @read = <$file>;
print $file "third\n";
seek($file, 0, 0);
die "file" unless "@read" eq "first\n second\n" && (() = <$file>) == 3;
close $file;
open($file, "<:encoding(UTF-8)", \"\xc3\xbc\n") or die $!;
die "layer" unless <$file> eq "\x{fc}\n";

pipe(my $read, my $write) or die $!;
my $pid = fork;
if ($pid == 0) {
    close $read;
    open(STDOUT, ">&", $write) or die $!;
    close $write;
    binmode(STDOUT, ":encoding(UTF-8)");
    lines("first \x{fc}");
    my $child = fork;
    if ($child == 0) { lines("child"); exit 0 }
    waitpid($child, 0);
    print "before";
    system("echo shell");
    my $said = `echo quoted`;
    print $said;
    { local $| = 1; print "through" }
    open(my $saved, ">&", \*STDOUT) or die $!;
    close STDOUT;
    open(STDOUT, ">", \my $text) or die $!;
    print "kept";
    close STDOUT;
    open(STDOUT, ">&", $saved) or die $!;
    print "\n$text\n";
    lines("last");
    exit 3;
}
close $write;
my @lines = <$read>;
waitpid($pid, 0);
die "status $?" unless $? >> 8 == 3;
my @expected = map { "first \xc3\xbc $_\n" } 0 .. 3999;
push @expected, map { "child $_\n" } 0 .. 3999;
push @expected, "beforeshell\n", "quoted\n", "through\n", "kept\n", map { "last $_\n" } 0 .. 3999;
for my $at (0 .. $#expected) { die "line $at: $lines[$at]" unless $lines[$at] eq $expected[$at] }
die "lines" unless @lines == @expected;
print "quirk\n";
