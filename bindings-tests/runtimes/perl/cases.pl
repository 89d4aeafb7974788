# SPDX-License-Identifier: MIT OR Apache-2.0
# Answers the lines of ../driver.py.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Unsandbox;

$| = 1;
my %clients;
while (defined(my $line = <STDIN>)) {
    chomp $line;
    my ($url, $key, $method, $json) = split /\t/, $line, 4;
    my $reply = eval {
        my $client = $clients{"$url\t$key"} //=
            Unsandbox->new(base_url => $url, $key eq '-' ? () : (api_key => $key));
        $client->call_json($method, $json);
    };
    my $error = $@;
    die $error if !defined $reply && !ref $error;
    print defined $reply ? "ok\t$reply\n" : "$error->{code}\t$error->{message}\n";
}
