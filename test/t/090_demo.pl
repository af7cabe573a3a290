# make demo in a copy of the tree: to the end, again, interrupted, resumed, removed.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Temp;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my $top = abs_path("$FindBin::Bin/../..");
my $copy = File::Temp::tempdir(CLEANUP => 1);
my $config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $bindir = `$config --bindir`);

delete $ENV{$_} foreach qw(MAKEFLAGS MFLAGS MAKELEVEL TEMP_CONFIG);
$ENV{DEMO_SIZE} = 'tiny';
$SIG{INT} = 'DEFAULT';	# a shell's job in the background ignores it, and so would the demo
system("cp -a '$top/.' '$copy/' && rm -rf '$copy/.demo' '$copy/.git'") == 0 or die 'could not copy the tree';

sub make
{
	my $output = `cd '$copy' && make --no-print-directory @_ 2>&1`;
	return ($? >> 8, $output);
}

# Every process that has to do with the copy.
sub processes
{
	open my $pgrep, '-|', 'pgrep', '-f', "$copy/.demo" or die "pgrep: $!";
	my @found = <$pgrep>;
	close $pgrep;
	return @found;
}

sub ask
{
	my ($query) = @_;
	my $conninfo = slurp_file("$copy/.demo/conninfo");

	chomp $conninfo;
	chomp(my $answer = `'$bindir/psql' -XAtq -d '$conninfo' -c "$query" 2>/dev/null`);
	return $answer;
}

sub wait_until
{
	my ($what, $condition) = @_;

	for (1 .. 600)
	{
		return if $condition->();
		sleep 0.1;
	}
	die "timed out waiting: $what\n";
}

# ------------------------------------------------------------- to the end

my ($status, $output) = make('demo');
is($status, 0, 'make demo') or diag $output;
like($output, qr/100.00 %  8 of 8 settled/, 'everything is settled');
like($output, qr/^ chatbot +\| +1 \|/m, 'there is a ranking');
like($output, qr/^  psql 'host=\S+ port=\d+ user=benchorch dbname=benchorch'$/m, 'and a line to connect with');
is(ask('SELECT count(*) FROM benchorch.benchmark_configs WHERE status = \'completed\''), '8', 'the cluster answers');
is(ask('SELECT count(*) FROM benchorch.check_invariants()'), '0', 'the invariants hold');
my ($port) = $output =~ /port=(\d+)/;
chomp(my $password = slurp_file("$copy/.demo/password"));
is(`PGPASSWORD=$password '$bindir/psql' -XAtqw -h 127.0.0.1 -p $port -U benchorch -d benchorch -c 'SELECT 1'`, "1\n",
	'the port wants the password');
isnt(system("'$bindir/psql' -XAtqw -h 127.0.0.1 -p $port -U benchorch -d benchorch -c 'SELECT 1' 2>/dev/null"), 0,
	'and lets nobody in without');

# ------------------------------------------- again, and Ctrl-C in the middle

$ENV{DEMO_BUDGET} = 2;
my $handle = IPC::Run::start([ 'setsid', 'make', '-C', $copy, '--no-print-directory', 'demo' ],
	'<', \undef, '>&', \$output);
wait_until('a run in the second demo', sub {
	$handle->pump_nb;
	-f "$copy/.demo/model" && !-f "$copy/.demo/done"
		&& ask('SELECT count(*) > 0 FROM benchorch.benchmark_configs WHERE run_started AND status = \'running\'') eq 't' });
my ($leader) = map { $_->{PID} } @{ $handle->{KIDS} };
kill INT => -$leader;
eval { $handle->finish };
like($output, qr/found an earlier demo: removing it and starting anew/, 'a second make demo starts anew');
like($output, qr/make demo goes on from here/, 'Ctrl-C stops it');
is_deeply([ processes() ], [], 'nothing keeps running');
ok(!-e "$copy/.demo/data/postmaster.pid", 'the cluster is stopped');

($status, $output) = make('demo');
is($status, 0, 'make demo after that') or diag $output;
like($output, qr/going on with it/, 'goes on');
like($output, qr/100.00 %  8 of 8 settled/, 'to the end');
is(ask('SELECT count(*) FROM benchorch.attempts WHERE outcome <> \'preempted\''), '0', 'what was interrupted is blamed on nobody');

# ---------------------------------------------------------------- removed

($status, $output) = make('demo-stop');
is($status, 0, 'make demo-stop');
ok(!-e "$copy/.demo" && !-l "$copy/.demo", 'removes .demo');
is_deeply([ processes() ], [], 'and nothing keeps running');
($status, $output) = make('demo-stop');
is($status, 0, 'make demo-stop without a demo');
like($output, qr/no demo/, 'says so');

done_testing();
