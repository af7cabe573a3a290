# No result is lost while the database comes and goes: ten restarts and a long
# absence during a run of 200 configs, a worker that dies with a result in its
# spool, a spool that is damaged, one that is another database's, and a
# connection string of several hosts.
#
# BENCHORCH_OUTAGE_SECONDS=60 makes the long absence as long as in earnest.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FindBin;
use IO::Select;
use IO::Socket::UNIX;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($worker, $faulty) = map { abs_path("$FindBin::Bin/../../build/$_") } qw(benchorch-worker benchorch-worker-faults);
die "build/benchorch-worker is not there; make tests builds it\n" unless $worker && -x $worker && $faulty && -x $faulty;
my $outage = $ENV{BENCHORCH_OUTAGE_SECONDS} // 5;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = on\nbenchorch.lease = '" . (2 * $outage + 60) . "s'\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

my $home = $ENV{HOME} = abs_path(PostgreSQL::Test::Utils::tempdir);
my $work_dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $spool = "$work_dir/spool";

# A runner that writes down each config that it has run.
open my $file, '>', "$home/runner" or die;
print $file <<'EOT';
#!/bin/sh
echo 'ready 1'
while read -r line; do
	id=$(printf '%s' "$line" | sed 's/.*"config_id": *\([0-9]*\).*/\1/')
	sleep 0.05
	echo "$id" >> "$HOME/ran"
	echo "{\"ran\": $id}"
done
EOT
close $file;
chmod 0755, "$home/runner";
sql(qq{SELECT benchorch.register_framework('runner', '{"protocol": "stream", "command": ["$home/runner"]}')});

# One that ends when its file has gone.
sql(q{SELECT benchorch.register_framework('gated', $json${"command": ["sh", "-c",
	"echo {batch_size} >> $HOME/begun; while test -e $HOME/hold-{batch_size}; do sleep 0.02; done; echo '{{\"ran\": {config_id}}}'"]}$json$)});

sub model_for
{
	my ($n, $framework, $limits) = @_;
	$framework //= 'runner';
	$limits //= '{}';
	my $sizes = join ', ', 1 .. $n;
	sql(qq{SELECT benchorch.create_template('t$n', '{"hardware": ["box"], "frameworks": ["$framework"], "workloads": ["chatbot"],
		"batch_sizes": [$sizes], "sequence_lengths": [1024], "limits": $limits}')});
	my $id = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$id', template => 't$n')");
	unlink "$home/ran", "$home/begun";
	return $id;
}

my $number = 0;
sub start_worker
{
	my ($binary, $name, @options) = @_;
	my %it = (log => "$PostgreSQL::Test::Utils::log_path/outages_" . $number++ . '.json');
	unlink $it{log};
	$it{handle} = IPC::Run::start([ $binary, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', $name, '--framework', 'runner', '--framework', 'gated',
		'--work-dir', $work_dir, '--spool', $spool, '--log', $it{log}, '--until-settled', @options ], '<', \undef, '>', \$it{out}, '2>', \$it{err},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default + $outage));
	return \%it;
}
sub end_of
{
	my ($it) = @_;
	$it->{handle}->finish;
	my $status = $it->{handle}{KIDS}[0]{RESULT};
	return $status & 127 ? -($status & 127) : $status >> 8;
}
sub ran
{
	my @ids = -e "$home/ran" ? split /\n/, slurp_file("$home/ran") : ();
	return @ids;
}
sub wait_until
{
	my ($what, $condition) = @_;
	my $tries = 50 * $PostgreSQL::Test::Utils::timeout_default;
	until ($condition->())
	{
		die "timed out waiting: $what\n" if !$tries--;
		select undef, undef, undef, 0.02;
	}
}
sub spooled
{
	return grep { slurp_file($_) =~ /^benchorch-result 1 / } glob "$spool/*/*.result";
}
# Batch sizes of the gated runs that have begun, in order.
sub begun
{
	my @sizes = -e "$home/begun" ? split /\n/, slurp_file("$home/begun") : ();
	return @sizes;
}

# ------------------------------------------------------- restarts and absence

my $model = model_for(200);
my $it = start_worker($worker, 'steadfast');
foreach my $round (1 .. 10)
{
	my $so_far = ran();
	wait_until('more configs', sub { ran() > $so_far + 5 || ran() >= 200 });
	$node->stop($round % 2 ? 'fast' : 'immediate');
	$node->start;
}
cmp_ok(scalar(ran()), '<', 200, 'ten restarts fall into the run');
$node->stop('immediate');
select undef, undef, undef, $outage;
$node->start;
is(end_of($it), 0, "a worker outlives ten restarts and an absence of $outage s");
is(sql(qq{SELECT string_agg(DISTINCT status, ',') || ' ' || count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'completed 200',
	'all configs are completed');
is(sql(qq{SELECT count(*) || ' ' || count(DISTINCT config_id) || ' ' || bool_and((parsed ->> 'ran')::bigint = config_id)
	FROM benchorch.benchmark_results WHERE model_version_id = '$model' AND accepted}), '200 200 true', 'with one result each, its own');
my %runs;
$runs{$_}++ foreach ran();
is(scalar(keys %runs), 200, 'every config has run');
# an unflushed claim of the instant before a crash may be forgotten: what was run under it is run again, its result is kept as unaccepted
is(sql(qq{SELECT count(*) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), scalar(ran()), 'no result of any run is lost');
is(sql(qq{SELECT count(*) FROM benchorch.attempts a JOIN benchorch.benchmark_configs c ON c.id = a.config_id
	WHERE model_version_id = '$model' AND blamed}), '0', 'no config is blamed for it');
is(scalar(spooled()), 0, 'the spool is empty');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

# ----------------------------------------- a worker that dies with a result

$model = model_for(3);
$it = do { local $ENV{BENCHORCH_FAULT} = 'after_spool:2'; start_worker($faulty, 'mortal'); };
is(end_of($it), -9, 'a worker is killed with a result in its spool');
is(scalar(spooled()), 1, 'which is there');
is(end_of(start_worker($worker, 'heir')), 0, 'the next process on the spool');
is(sql(qq{SELECT count(*) || ' ' || count(DISTINCT config_id) || ' ' || bool_and(accepted) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}),
	'3 3 true', 'hands it in, and it is accepted');
is(scalar(ran()), 3, 'nothing is run twice');
is(scalar(spooled()), 0, 'the spool is empty');

# Too late: another worker has done it meanwhile.
$model = model_for(2);
$it = do { local $ENV{BENCHORCH_FAULT} = 'after_spool:1'; start_worker($faulty, 'mortal'); };
is(end_of($it), -9, 'another one is killed');
is(end_of(start_worker($worker, 'mortal', '--spool', "$work_dir/other")), 0, 'its work is done again, with another spool');
is(end_of(start_worker($worker, 'heir')), 0, 'then its spool is found');
is(sql(qq{SELECT count(*) || ' ' || count(*) FILTER (WHERE accepted) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), '3 2',
	'the late result is kept, as unaccepted');

# ------------- a run that ends while the worker waits for the database, and dies

# The postmaster and all of its processes.
sub signal_server
{
	my ($signal) = @_;
	my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
	my @pids = ($postmaster, map { /(\d+)/g } `ps -o pid= --ppid $postmaster`);
	kill $signal => @pids;
}

foreach my $how ('frozen', 'gone')
{
	append_to_file("$home/hold-$_", '') foreach 1 .. 80;
	$model = model_for(80, 'gated');	# enough for a batch of two
	$it = start_worker($worker, 'mortal');
	wait_until("the first run, $how", sub { begun() == 1 });
	my ($first) = begun();
	# hand_in of the first one waits for this lock while the second one runs
	my $lock = $node->background_psql('postgres');
	$lock->query_safe(qq{BEGIN; SELECT FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND batch_size = $first FOR UPDATE});
	unlink "$home/hold-$first";
	wait_until("a statement that waits, $how", sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%hand_in%'}) > 0 });
	wait_until("the second run, $how", sub { begun() == 2 });
	if ($how eq 'frozen')
	{
		signal_server('STOP');
	}
	else
	{
		$node->stop('immediate');
		$lock->{run}->kill_kill;
	}
	unlink glob "$home/hold-*";
	wait_until("the result, $how", sub { spooled() == 2 });
	$it->{handle}->signal('KILL');
	is(end_of($it), -9, "$how: a worker that waits for the database is killed after a run's end");
	if ($how eq 'frozen')
	{
		signal_server('CONT');
		$lock->quit;
	}
	else
	{
		$node->start;
	}
	is(end_of(start_worker($worker, 'mortal')), 0, "$how: the next process on the spool");
	is(sql(qq{SELECT count(*) FILTER (WHERE accepted) || ' ' || count(DISTINCT config_id) || ' ' || count(*) FROM benchorch.benchmark_results
		WHERE model_version_id = '$model'}), '80 80 ' . begun(), "$how: hands in what had ended meanwhile, and no run's result is lost");
	# a claim of the instant before a crash may be forgotten
	is(scalar(begun()), 80, "$how: nothing is run twice") if $how eq 'frozen';
	is(scalar(spooled()), 0, "$how: the spool is empty");
}

# ------------------------------ a claim that has gone when its run is begun

append_to_file("$home/hold-$_", '') foreach 1 .. 80;
$model = model_for(80, 'gated');
$it = start_worker($worker, 'late');
wait_until('the first run', sub { begun() == 1 });
my ($first) = begun();
sql(qq{SELECT benchorch.update_status(id, 'cancelled') FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND batch_size <> $first});
unlink "$home/hold-$first";
is(end_of($it), 0, 'a config that has been cancelled before its start');
like(slurp_file($it->{log}), qr/"event":"start_refused"/, 'is found out by the start call');
is(sql(qq{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) || ': ' || (SELECT count(*) FROM benchorch.benchmark_results WHERE model_version_id = '$model')
	FROM (SELECT status, count(*) AS n FROM benchorch.benchmark_configs WHERE model_version_id = '$model' GROUP BY status) AS s}), 'cancelled 79, completed 1: 1', 'its run is killed, and nothing comes of it');
unlink glob "$home/hold-*";

# -------------------------------------------------------------- a bad disk

$model = model_for(1);
$it = do { local $ENV{BENCHORCH_FAULT} = 'after_spool:1'; start_worker($faulty, 'mortal'); };
is(end_of($it), -9, 'a third one is killed');
my ($result) = spooled();
open $file, '+<', $result or die "$result: $!";
seek $file, -1, 2;
print $file '!';
close $file;
$it = start_worker($worker, 'mortal');
is(end_of($it), 0, 'a result that the disk has damaged');
like(slurp_file($it->{log}), qr/"event":"spool_damaged"/, 'is told');
ok(-e "$result.damaged" && !-e $result, 'and set aside');
is(sql(qq{SELECT count(*) || ' ' || bool_and(accepted) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), '1 true',
	'its config is run again');

# ------------------------------------------- a result that is not taken

$model = model_for(1, 'runner', '{"bad_output_retries": 0}');
sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE internal_error USING MESSAGE = 'no such luck'; END$$;
	CREATE TRIGGER refuse BEFORE INSERT ON benchorch.benchmark_results FOR EACH ROW EXECUTE FUNCTION refuse()});
$it = start_worker($worker, 'refused');
is(end_of($it), 0, 'a result that the database refuses');
sql('DROP FUNCTION refuse CASCADE');
like(sql(qq{SELECT status || ' ' || error_message FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}),
	qr/^failed .*the database refused the result: no such luck/, 'ends its attempt');
my @refused = glob "$spool/*/*.refused";
is(scalar(@refused), 1, 'is set aside');
like(slurp_file($refused[0]), qr/^benchorch-result 1 .*\{"ran": \d+\}/s, 'with all that it holds');
like(slurp_file($it->{log}), qr/"event":"hand_in_refused".*no such luck; it is kept as \Q$refused[0]\E/, 'which the log tells');
unlink @refused;

# ------------------------------------------------------- another database

$model = model_for(1);
$it = do { local $ENV{BENCHORCH_FAULT} = 'after_spool:1'; start_worker($faulty, 'mortal'); };
is(end_of($it), -9, 'a fourth one is killed');
sql('CREATE DATABASE other');
$node->safe_psql('other', q{CREATE EXTENSION benchorch; SELECT benchorch.register_hardware('box', '{"kind": "cpu"}');
	SELECT benchorch.register_framework('runner', '{"command": ["true"]}'), benchorch.register_framework('gated', '{"command": ["true"]}')});
is(end_of(start_worker($worker, 'elsewhere', '--db', $node->connstr('other'))), 0, 'a worker of another database on the same spool');
is(scalar(spooled()), 1, 'leaves it alone');
is(end_of(start_worker($worker, 'mortal')), 0, 'one of its own');
is(scalar(spooled()), 0, 'takes it');

# ------------------------------------- heartbeats while a statement takes long

# The first run, of which the database knows as well.
sub run_known
{
	return begun() == 1 && sql(qq{SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND run_started}) > 0;
}

# what waits for configs that somebody has locked, and which ones those are
foreach my $case ([ 'hand_in', q{run_started}, q{status = 'completed'} ], [ 'claim_runs', q{status = 'pending'}, q{status = 'running'} ])
{
	my ($call, $locked, $done) = @$case;
	append_to_file("$home/hold-$_", '') foreach 1 .. 40;
	$model = model_for(40, 'gated');
	$it = start_worker($worker, 'patient', '--heartbeat', '0.2', '--batch-size', $call eq 'hand_in' ? 2 : 1);
	wait_until("$call: a run", \&run_known);
	my $locker = $node->background_psql('postgres');
	$locker->query_safe(qq{BEGIN; SELECT FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND $locked FOR UPDATE});
	my $first = (begun())[0];
	unlink "$home/hold-$first";
	wait_until("$call: it waits", sub { sql(qq{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%$call%'}) > 0 });
	my $beats = 0;
	my $last = '';
	wait_until("$call: five heartbeats meanwhile", sub {
		my $now = sql(q{SELECT heartbeat_at FROM benchorch.worker_leases l JOIN benchorch.workers w ON w.id = l.worker_id WHERE w.name = 'patient'});
		$beats++ if $now ne $last;
		$last = $now;
		return $beats > 5;
	});
	is(sql(qq{SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND $done}), '0', "$call: heartbeats go on while it waits");
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 4 FROM pg_stat_activity WHERE backend_type = 'client backend'}),
		"$call: no server process is left behind by its tries");
	unlink glob "$home/hold-*";
	$locker->query_safe('COMMIT');
	$locker->quit;
	is(end_of($it), 0, "$call: it then goes on");
	is(sql(qq{SELECT string_agg(DISTINCT status, ',') FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'completed', "$call: as if nothing had been");
}

# --------------------------------------- SIGTERM while a statement takes long

append_to_file("$home/hold-$_", '') foreach 1 .. 80;
$model = model_for(80, 'gated');
$it = start_worker($worker, 'stopped', '--grace', '600');
wait_until('a run', \&run_known);
cmp_ok(sql(qq{SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'running'}), '>', 1, 'a batch waits behind a run');
my $holder = $node->background_psql('postgres');
$holder->query_safe(qq{BEGIN; SELECT FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND run_started FOR UPDATE});
unlink "$home/hold-" . (begun())[0];
wait_until('hand_in, which waits', sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%hand_in%'}) > 0 });
wait_until('the next run', sub { begun() == 2 });
$it->{handle}->signal('TERM');
wait_until('what waits is handed back', sub { sql(qq{SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'running'}) <= 2 });
ok($it->{handle}->pumpable, 'what waits is handed back at once, though the worker waits for the database');
$holder->query_safe('COMMIT');
$holder->quit;
unlink glob "$home/hold-*";
is(end_of($it), 143, 'then it ends');
is(sql(qq{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM benchorch.benchmark_configs
	WHERE model_version_id = '$model' GROUP BY status) AS s}), 'completed 2, pending 78', 'and has handed in what it ran');
sql(qq{SELECT benchorch.cancel('$model')});

# ------------------------------------------------------------ several hosts

$model = model_for(2);
my ($host, $port) = ($node->host, $node->port);
is(end_of(start_worker($worker, 'choosy', '--db', "host=/nowhere,$host port=1,$port dbname=postgres target_session_attrs=read-write")), 0,
	'a connection string of several hosts');
is(sql(qq{SELECT string_agg(DISTINCT status, ',') FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'completed', 'finds the one that is there');

# A frozen primary takes connections and says nothing.
my $mute_dir = PostgreSQL::Test::Utils::tempdir_short();
my $mute = IO::Socket::UNIX->new(Local => "$mute_dir/.s.PGSQL.1", Listen => 5) or die "$mute_dir: $!";
$model = model_for(2);
is(end_of(start_worker($worker, 'choosy', '--db', "host=$mute_dir,$host port=1,$port dbname=postgres connect_timeout=2")), 0, 'one whose first host is frozen');
is(sql(qq{SELECT string_agg(DISTINCT status, ',') FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'completed', 'finds the other one');
close $mute;

# ------------------------- a server that answers, and is not done with it

# A proxy that holds back the server's last word on a statement, ReadyForQuery, while a file is there.
my $proxy_dir = PostgreSQL::Test::Utils::tempdir_short();
my $listener = IO::Socket::UNIX->new(Local => "$proxy_dir/.s.PGSQL.$port", Listen => 5) or die "$proxy_dir: $!";
my $proxy = fork;
if (!$proxy)
{
	my $client = $listener->accept;
	my $server = IO::Socket::UNIX->new(Peer => "$host/.s.PGSQL.$port");
	my $select = IO::Select->new($client, $server);
	my $unsaid = '';
	for (;;)
	{
		foreach my $from ($select->can_read(0.02))
		{
			sysread($from, my $bytes, 65536) or POSIX::_exit(0);
			if ($from == $client) { syswrite $server, $bytes; }
			else { $unsaid .= $bytes; }
		}
		while (length $unsaid >= 5 && length $unsaid > (my $len = unpack 'x N', $unsaid))
		{
			last if substr($unsaid, 0, 1) eq 'Z' && -e "$home/hold-the-end";
			syswrite $client, substr($unsaid, 0, $len + 1, '');
		}
	}
}
close $listener;
append_to_file("$home/hold-1", '');
$model = model_for(1, 'gated');
$it = start_worker($worker, 'proxied', '--db', "host=$proxy_dir port=$port dbname=postgres", '--no-presence', '--grace', '1');
wait_until('a run', sub { begun() == 1 });
append_to_file("$home/hold-the-end", '');
unlink "$home/hold-1";
wait_until('the result', sub { sql(qq{SELECT count(*) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}) == 1 });
$it->{handle}->signal('TERM');
is(end_of($it), 143, 'a worker hears signals while the server has answered and is not done');
unlink "$home/hold-the-end";
waitpid $proxy, 0;
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
