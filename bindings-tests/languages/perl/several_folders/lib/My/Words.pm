package My::Words;
use Exporter "import";
our @EXPORT_OK = ("first");
sub first { "se" }
1;
