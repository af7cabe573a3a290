# The SQL of README.md, the tutorial and the page on one's own tool runs as it stands there.  A block after
# <!-- fails --> shows an error.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

foreach my $document (qw(README.md docs/tutorial.md docs/own-tool.md))
{
	my $text = slurp_file("$top/$document");
	my ($script, $blocks, $failing) = ('', 0, 0);

	while ($text =~ /(<!-- fails -->\n)?```sql\n(.*?)```/gs)
	{
		my ($fails, $sql) = ($1, $2);

		$blocks++;
		$failing++ if $fails;
		$script .= $fails ? "\\set ON_ERROR_STOP off\n$sql\\set ON_ERROR_STOP on\n" : $sql;
	}
	cmp_ok($blocks, '>', 0, "$document has SQL");

	(my $database = $document) =~ s/\W/_/g;
	$node->safe_psql('postgres', "CREATE DATABASE \"$database\"");
	my ($status, undef, $errors) = $node->psql($database, $script, on_error_stop => 1);
	is($status, 0, "$document: every statement runs") or diag $errors;
	is(scalar(() = $errors =~ /ERROR:/g), $failing, "$document: what is said to fail does, and nothing else");
	my $made = $text =~ /leaderboard|finalize/ ? 'leaderboard' : 'benchmark_results';
	is($node->safe_psql($database, "SELECT count(*) > 0 FROM benchorch.$made"), 't', "$document: there is something in the $made");
	is($node->safe_psql($database, q{SELECT * FROM benchorch.check_invariants()}), '', "$document: the invariants hold");

	# links to files that are there
	my ($directory) = $document =~ m{^(.*/)};
	my @dead = grep { !m{^https?:} && !-e "$top/" . ($directory // '') . s/#.*//r } $text =~ /\]\(([^)]+)\)/g;
	is("@dead", '', "$document: no dead links");
}

$node->stop;
done_testing();
