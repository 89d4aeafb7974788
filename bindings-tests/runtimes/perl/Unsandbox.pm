# SPDX-License-Identifier: MIT OR Apache-2.0
# unsandbox from Perl through FFI::Platypus.
package Unsandbox;

use strict;
use warnings;
use FFI::Platypus 2.00;
use FFI::Platypus::Buffer qw(buffer_to_scalar);
use JSON::PP ();

my $ffi = FFI::Platypus->new(api => 2, lib => 'libunsandbox.so.0.1');
$ffi->mangler(sub { "unsandbox_$_[0]" });
$ffi->attach(config_new => ['opaque*', 'opaque*'] => 'sint32');
$ffi->attach(config_set_base_url => ['opaque', 'string', 'size_t', 'opaque*'] => 'sint32');
$ffi->attach(config_set_api_key => ['opaque', 'string', 'size_t', 'opaque*'] => 'sint32');
$ffi->attach(config_free => ['opaque'] => 'void');
$ffi->attach(client_from_env => ['opaque*', 'opaque*'] => 'sint32');
$ffi->attach(client_new => ['opaque', 'opaque*', 'opaque*'] => 'sint32');
$ffi->attach(client_free => ['opaque'] => 'void');
$ffi->attach(
    client_call_json =>
        ['opaque', 'string', 'size_t', 'string', 'size_t', 'opaque*', 'size_t*', 'opaque*'] => 'sint32'
);
$ffi->attach(error_name => ['opaque', 'opaque'] => 'string');
$ffi->attach(error_message => ['opaque', 'opaque'] => 'string');
$ffi->attach(error_free => ['opaque'] => 'void');
$ffi->attach(string_free => ['opaque'] => 'void');

# Calls a function whose last argument receives an error, and dies of it with an Unsandbox::Error.
sub check {
    my ($call, @words) = @_;
    my $err;
    return if $call->(@words, \$err) == 0;
    my $error = bless { code => error_name($err, undef), message => error_message($err, undef) }, 'Unsandbox::Error';
    error_free($err);
    die $error;
}

# One client serves the whole program. Without settings they come from the environment.
sub new {
    my ($class, %settings) = @_;
    my $client;
    if (!defined $settings{base_url}) {
        check(\&client_from_env, \$client);
        return bless \$client, $class;
    }
    my $config;
    check(\&config_new, \$config);
    my $made = eval {
        for my $name (grep { defined $settings{$_} } qw(base_url api_key)) {
            my $set = $name eq 'api_key' ? \&config_set_api_key : \&config_set_base_url;
            check($set, $config, $settings{$name}, length $settings{$name});
        }
        check(\&client_new, $config, \$client);
        1;
    };
    my $error = $@;
    config_free($config);
    die $error unless $made;
    return bless \$client, $class;
}

# Calls a method ("execute", "run", "get_job", …) with a hash, and gives a hash.
sub call {
    my ($self, $method, %fields) = @_;
    return JSON::PP::decode_json($self->call_json($method, JSON::PP::encode_json(\%fields)));
}

# The same with JSON as bytes.
sub call_json {
    my ($self, $method, $json) = @_;
    my ($out, $len);
    check(\&client_call_json, $$self, $method, length $method, $json, length $json, \$out, \$len);
    my $text = buffer_to_scalar($out, $len);
    string_free($out);
    return $text;
}

sub DESTROY { client_free(${ $_[0] }) if ${ $_[0] } }

package Unsandbox::Error;
use overload '""' => sub { $_[0]{message} }, fallback => 1;

1;
