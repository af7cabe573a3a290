# make bench with little work: every case is there, and a system that does not do its work is found out.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Temp;
use FindBin;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $copy = File::Temp::tempdir(CLEANUP => 1);

delete $ENV{$_} foreach qw(MAKEFLAGS MFLAGS MAKELEVEL TEMP_CONFIG);
system("cp -a '$top/.' '$copy/' && rm -rf '$copy/.git'") == 0 or die 'could not copy the tree';

sub bench
{
	my $output = `cd '$copy' && test/bench/bench --models 40 --repeat 1 --json '$copy/bench.json' @_ 2>&1`;
	return ($? >> 8, $output);
}

my @systems = qw(skip-locked benchorch benchorch-workers);
my @measures = qw(batch-100 batch-1-own batch-1-once results-100 pending-10k);
my ($status, $output) = bench('--systems', join(',', @systems), '--measures', join(',', @measures));
is($status, 0, 'it runs to its end') or diag $output;
my @runs = map { decode_json($_) } split /\n/, slurp_file("$copy/bench.json");
foreach my $measure (@measures)
{
	is_deeply([ sort map { $_->{system} } grep { $_->{measure} eq $measure } @runs ], [ sort @systems ], "$measure: every system in the JSON file");
	like($output, qr/^ $measure +\| $_ +\|/m, "$measure: $_ in the table") foreach @systems;
}
foreach my $run (@runs)
{
	my @bad = grep { !($run->{$_} > 0) } qw(configs configs_per_s round_p50_ms cpu_us wal_bytes relations_mb);
	is_deeply(\@bad, [], "$run->{measure} $run->{system}: everything is measured");
}
like($output, qr/^ \(b\) batch 100, like for like.*\| >= 2 +\| +\d+\.\d+ \| (reached|MISSED)/m, 'the goals stand beside the figures');

# a queue that completes only some of what it is asked to
my $file = "$copy/test/bench/systems/skip-locked.sql";
my $sql = slurp_file($file);
$sql =~ s/(-- \@complete one\nUPDATE .*)/$1 AND id % 7 <> 0/ or die 'the statement is not there';
open my $handle, '>', $file or die $!;
print $handle $sql;
close $handle;
($status, $output) = bench('--systems', 'skip-locked', '--measures', 'batch-1');
isnt($status, 0, 'completing less than was claimed ends the bench');
like($output, qr/\d+ configs were claimed and \d+ are completed/, 'and is named');

done_testing();
