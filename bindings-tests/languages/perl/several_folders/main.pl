use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/lib";
use My::Words qw(first);

require "./last.pl";
open my $middle, "<", "$Bin/middle.txt" or die $!;
chomp(my $word = <$middle>);
print first(), $word, last_letters(), "\n";
