# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one program and prints what it wrote: perl hello.pl
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Unsandbox;

my $client = Unsandbox->new;
my $result = $client->call('execute', language => 'python', code => 'print(6 * 7)');
print $result->{stdout};
exit $result->{exit_code};
