# Nothing lost, nothing twice: workers killed at every step of their protocol,
# frozen, quarantined, killed at random; a server stopped without warning.
#
# Times are printed, and only bounded by many times what they should be.  The
# environment may ask for more: BENCHORCH_KILLS (60), BENCHORCH_STOPS (5); and
# for the same again: BENCHORCH_SEED.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FindBin;
use IPC::Run;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

my ($worker, $faulty) = map { abs_path("$FindBin::Bin/../../build/$_") } 'benchorch-worker', 'benchorch-worker-faults';
foreach ($worker, $faulty)
{
	die "the workers are not built; make tests builds them\n" unless defined && -x;
}
my $kills = $ENV{BENCHORCH_KILLS} // 60;
my $stops = $ENV{BENCHORCH_STOPS} // 5;
my $seed = $ENV{BENCHORCH_SEED} // time ^ $$;
my $patience = $PostgreSQL::Test::Utils::timeout_default;
$ENV{HOME} = $ENV{TMPDIR} = abs_path(PostgreSQL::Test::Utils::tempdir);

# Engine-shaped frameworks that need nothing.
my %frameworks = (
	quick => q({"command": ["sh", "-c", "sleep 0.0{batch_size}; echo '{{\"config\": {config_id}}}'"]}),
	held => q({"command": ["sh", "-c", "echo $$ > $HOME/new; mv $HOME/new $HOME/running; while test -e $HOME/hold; do sleep 0.05; done; echo '{{}}'"]}),
	deadly => q({"command": ["sh", "-c", "test {batch_size} != 3 || kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/$PPID/status); echo '{{}}'"]}),
	deadly_lane => q({"protocol": "stream", "command": ["sh", "-c", "kill -9 $(awk '/^PPid/ {{ print $2 }}' /proc/$PPID/status)"]}),
	fragile => q({"command": ["sh", "-c", "test -z \"$BROKEN\" && echo '{{}}'"]}));

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "benchorch.presence_grace = '1s'\nbenchorch.lease = '300s'\nmax_connections = 100\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql(q{SELECT benchorch.register_workload('chatbot', '{}')});
sql("SELECT benchorch.register_framework('$_', \$json\$$frameworks{$_}\$json\$)") foreach sort keys %frameworks;

sub settings
{
	my ($line) = @_;
	$node->append_conf('postgresql.conf', $line);
	$node->reload;
}

# A model version with a matrix of n configs, for one framework on hardware of its own where that is named.
my $templates = 0;
sub matrix
{
	my ($framework, $n, %also) = @_;
	my $box = $also{hardware} // 'box';
	my $repeats = $n > 9 ? int($n / 9) : 1;
	my $sizes = join ',', 1 .. ($n > 9 ? 9 : $n);
	my $limits = $also{limits} // '{"crash_delays_s": [0.1]}';
	my $template = 'template-' . $templates++;

	sql(qq{SELECT benchorch.register_hardware('$box', '{"kind": "cpu", "enabled": true}')});
	sql(qq{SELECT benchorch.create_template('$template', '{"hardware": ["$box"], "frameworks": ["$framework"],
		"workloads": ["chatbot"], "batch_sizes": [$sizes], "sequence_lengths": [1024], "repeats": $repeats, "limits": $limits}')});
	my $id = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$id', template => '$template')");
	return $id;
}

sub counts
{
	return sql(qq{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n
		FROM benchorch.benchmark_configs WHERE model_version_id = '$_[0]' GROUP BY status) s});
}

# Holds for every test here, whatever was killed.
sub nothing_twice
{
	my ($what) = @_;
	is(sql(q{SELECT config_id FROM benchorch.benchmark_results WHERE accepted GROUP BY 1 HAVING count(*) > 1}), '',
		"$what: no result is accepted twice");
	is(sql('SELECT * FROM benchorch.check_invariants()'), '', "$what: the invariants hold");
}

sub wait_until
{
	my ($what, $true) = @_;
	my $until = time + $patience;

	until ($true->())
	{
		die "timed out waiting: $what\n" if time > $until;
		sleep 0.02;
	}
}

# ----------------------------------------------------------------- workers

my %alive;
my @logs;
END
{
	kill KILL => keys %alive if %alive;
}

# A worker; what stands before the options as NAME=VALUE is its environment.
sub start_worker
{
	my ($binary, @options) = @_;
	my %it = (log => "$PostgreSQL::Test::Utils::log_path/recovery_" . @logs . '.json');

	push @logs, $it{log};
	$it{pid} = fork // die "fork: $!";
	if ($it{pid} == 0)
	{
		while ($options[0] =~ /^([A-Z_]+)=(.*)/)
		{
			$ENV{$1} = $2;
			shift @options;
		}
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$it{log}.err";
		open STDERR, '>&', \*STDOUT;
		exec {$binary} $binary, '--db', $node->connstr('postgres'), '--log', $it{log}, '--hardware', 'box', @options
		  or POSIX::_exit(127);
	}
	$alive{ $it{pid} } = 1;
	return \%it;
}

# Whether it has ended; how is in {end}, the exit code or minus the signal, and when in {ended_at}.
sub ended
{
	my ($it) = @_;

	return 1 if defined $it->{end};
	return 0 if waitpid($it->{pid}, POSIX::WNOHANG()) != $it->{pid};
	$it->{end} = $? & 127 ? -($? & 127) : $? >> 8;
	$it->{ended_at} = time;
	delete $alive{ $it->{pid} };
	return 1;
}

sub end_of
{
	my ($it) = @_;
	wait_until("the end of a worker ($it->{log})", sub { ended($it) });
	return $it->{end};
}

# Waits for a run of the framework "held" that was not asked for before.
my $hold = "$ENV{HOME}/hold";
sub begun_run
{
	wait_until('a run', sub { -e "$ENV{HOME}/running" });
	unlink "$ENV{HOME}/running";
}

# ------------------------------------------------- killed at every step

# step => which time that the worker gets there, attempts on record for it (from, to); the result
# of one run is handed in when the next has begun
my %steps = (
	before_claim => [ 2, 0, 0 ],
	after_claim_sent => [ 1, 0, 0 ],
	after_claim => [ 1, 0, 0 ],
	before_start => [ 2, 1, 1 ],
	after_start_sent => [ 2, 1, 2 ],
	after_start => [ 2, 1, 2 ],
	during_run => [ 2, 2, 2 ],
	after_run => [ 2, 1, 1 ],
	after_hand_in_sent => [ 2, 0, 1 ],
	after_hand_in => [ 2, 1, 1 ]);

# Workers that die at a step each, on hardware of their own: what they held
# comes back to whoever claims, and another worker completes it.  Each has a
# spool of its own, too: on a slow machine one may begin when another has died,
# and would hand in the result that it finds, of a run that is to be lost here.
sub dies_at_every_step
{
	my ($how, $limit, @options) = @_;
	my (%victim, %back);

	$victim{$_} = { model => matrix('quick', 6, hardware => "$how $_") } foreach sort keys %steps;
	foreach my $step (sort keys %steps)
	{
		$victim{$step}{worker} = start_worker($faulty, "BENCHORCH_FAULT=$step:$steps{$step}[0]", @options,
			'--db', $node->connstr('postgres') . " application_name=$step",
			'--hardware', "$how $step", '--framework', 'quick', '--name', "$how $step", '--model', $victim{$step}{model},
			'--spool', "$ENV{HOME}/spool $how $step");
	}
	wait_until("what was held to be taken back, $how", sub {
		my %held;
		my @dead = grep { ended($victim{$_}{worker}) } keys %victim;

		# a claim that gets nothing, the threshold being what it is, takes back on its way what it can
		$held{$_}++ foreach split /\n/, sql(q{SELECT FROM benchorch.claim_batch(1, -1000);
			SELECT model_version_id || ' ' || run_started FROM benchorch.benchmark_configs WHERE status = 'running';
			SELECT application_name FROM pg_stat_activity});
		foreach my $step (grep { !$held{$_} } @dead)
		{
			my ($waiting, $started) = map { $held{"$victim{$step}{model} $_"} } 'false', 'true';

			$back{$step}{waiting} //= time - $victim{$step}{worker}{ended_at} if !$waiting;
			$back{$step}{all} //= time - $victim{$step}{worker}{ended_at} if !$waiting && !$started;
		}
		return keys %steps == grep { defined $back{$_}{all} } keys %steps;
	});

	foreach my $step (sort keys %steps)
	{
		my $it = $victim{$step};
		my ($from, $to) = @{ $steps{$step} }[ 1, 2 ];

		is($it->{worker}{end}, -9, "$how: killed at $step");
		diag(sprintf '%s, %s: what had not begun was back after %.2f s, all after %.2f s', $how, $step,
			$back{$step}{waiting}, $back{$step}{all});
		cmp_ok($back{$step}{all}, '<', $limit, "$how, $step: what it held is taken back");
		$it->{rescuer} = start_worker($worker, '--hardware', "$how $step", '--framework', 'quick', '--until-settled',
			'--name', "$how $step rescuer", '--spool', "$ENV{HOME}/spool $how $step");
		$it->{attempts} = sql(qq{SELECT count(*) FROM benchorch.attempts a JOIN benchorch.benchmark_configs c ON c.id = a.config_id
			WHERE model_version_id = '$it->{model}' AND outcome = 'lost' AND blamed});
		# on a slow machine a short lease may have run out earlier, too
		$to = 6 if $how eq 'without presence';
		ok($it->{attempts} >= $from && $it->{attempts} <= $to, "$how, $step: blamed is what had begun, $it->{attempts}")
			or diag(sql(qq{SELECT concat_ws(' ', c.id, c.status, c.attempt, a.outcome, a.blamed, a.message)
				FROM benchorch.benchmark_configs c LEFT JOIN benchorch.attempts a ON a.config_id = c.id WHERE model_version_id = '$it->{model}'}));
	}
	foreach my $step (sort keys %steps)
	{
		is(end_of($victim{$step}{rescuer}), 0, "$how, $step: another worker takes over");
		is(counts($victim{$step}{model}), 'completed 6', "$how, $step: and completes all");
	}
	nothing_twice($how);
}

$node->restart;	# presence counts from the first moment on
dies_at_every_step('with presence', 60);

settings("benchorch.lease = '2s'\n");
dies_at_every_step('without presence', 60, '--no-presence', '--heartbeat', '0.5');

# ----------------------------------------- presence is lost and found again

# The worker's event of this kind that it has not been asked for before.
sub event
{
	my ($it, $event) = @_;
	wait_until("$event of a worker ($it->{log})", sub {
		my @found = -e $it->{log} ? grep { /"event":"$event"/ } split /\n/, slurp_file($it->{log}) : ();
		return @found > ($it->{seen}{$event} // 0) && ++$it->{seen}{$event};
	});
}

append_to_file($hold, '');
my $model = matrix('held', 1);
my $it = start_worker($worker, '--framework', 'held', '--name', 'present', '--heartbeat', '0.5', '--until-settled');
event($it, 'presence');
begun_run();
sql(q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'});
event($it, 'presence_lost');
event($it, 'presence');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'}), '1', 'a lost presence is shown again');
unlink $hold;
is(end_of($it), 0, 'the worker goes on meanwhile');
is(sql(qq{SELECT count(*) FROM benchorch.attempts a JOIN benchorch.benchmark_configs c ON c.id = a.config_id
	WHERE model_version_id = '$model'}), '0', 'and loses nothing');

# A session of the process before that the server still takes for alive.
my $before = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
	"SELECT benchorch.announce(id) FROM benchorch.workers WHERE name = 'present'", '-c', 'SELECT pg_sleep(86400)' ],
	'<', \undef, '>', \my $out, '2>&1');
wait_until('the earlier session', sub { sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}) == 1 });
$it = start_worker($worker, '--framework', 'held', '--name', 'present');
event($it, 'presence_lost');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'});
$before->finish;
event($it, 'presence');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'}), '1',
	'presence that an earlier session holds is waited for');
kill TERM => $it->{pid};
is(end_of($it), 143, 'and keeps the worker from nothing');

# ---------------------------------------------------------------- SIGTERM

append_to_file($hold, '');
$model = matrix('held', 9);
$it = start_worker($worker, '--framework', 'held', '--name', 'terminated', '--grace', '60');
begun_run();
my $began = time;
kill TERM => $it->{pid};
wait_until('what waits to be handed back', sub { counts($model) eq 'pending 8, running 1' });
diag(sprintf 'SIGTERM: what had not begun was back after %.2f s', time - $began);
kill TERM => $it->{pid};
is(end_of($it), 143, 'SIGTERM ends a worker');
is(counts($model), 'pending 9', 'all is pending again');
is(sql(qq{SELECT sum(retry_count) || ' ' || (SELECT count(*) FROM benchorch.attempts a WHERE a.blamed AND a.config_id = ANY (array_agg(c.id)))
	FROM benchorch.benchmark_configs c WHERE model_version_id = '$model'}), '0 0', 'and no attempt was spent');

# --------------------------------------------------------- frozen, then back

sql("SELECT benchorch.cancel('$model')");
$model = matrix('held', 1);
my $frozen = start_worker($worker, '--framework', 'held', '--name', 'frozen');
begun_run();
my ($config, $claim) = split /\|/, sql(qq{SELECT id, claim_id FROM benchorch.benchmark_configs WHERE model_version_id = '$model'});
kill STOP => $frozen->{pid};
unlink $hold;
is(end_of(start_worker($worker, '--framework', 'held', '--name', 'newer', '--until-settled')), 0,
	'a worker is frozen for longer than its lease, another does its work');
my $settled = sql("SELECT status, claim_id, completed_at FROM benchorch.benchmark_configs WHERE id = $config");
like($settled, qr/^completed\|/, 'and completes it');
unlike($settled, qr/\|$claim\|/, 'under a claim of its own');
foreach my $call ("complete($config, $claim, '{}')", "update_status($config, 'failed', claim_id => $claim)",
	"update_status($config, 'completed', claim_id => $claim)")
{
	my $err;
	$node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT benchorch.$call", stderr => \$err);
	like($err, qr/ERROR:\s+BO001/, "the old claim is refused: $call");
}
kill CONT => $frozen->{pid};
wait_until('the late result', sub { sql("SELECT count(*) FROM benchorch.benchmark_results WHERE config_id = $config") == 2 });
is(sql("SELECT claim_id = $claim FROM benchorch.benchmark_results WHERE config_id = $config AND NOT accepted"), 't',
	'the late result is kept, but not accepted');
is(sql("SELECT status, claim_id, completed_at FROM benchorch.benchmark_configs WHERE id = $config"), $settled, 'the newer run stands');
kill TERM => $frozen->{pid};
is(end_of($frozen), 143, 'the worker that was frozen goes on');
nothing_twice('frozen');

# ------------------------------------------- a config that kills its worker

$model = matrix('deadly', 9);
my $deaths = 0;
while (end_of(start_worker($worker, '--framework', 'deadly', '--name', 'doomed', '--until-settled')) == -9)
{
	last if ++$deaths == 20;
}
is($deaths, 4, 'a config that kills its worker does so four times');
is(counts($model), 'completed 8, failed 1', 'then fails, and takes no other along');
is(sql(qq{SELECT string_agg(DISTINCT batch_size || ' ' || outcome || ' ' || blamed, ',') || ' ' || count(*) FROM benchorch.attempts a
	JOIN benchorch.benchmark_configs c ON c.id = a.config_id WHERE model_version_id = '$model'}), '3 lost true 4', 'its losses are on record, and no others');
nothing_twice('a deadly config');

# So does one whose engine does, before it is ready.
$model = matrix('deadly_lane', 1);
$deaths = 0;
while (end_of(start_worker($worker, '--framework', 'deadly_lane', '--name', 'doomed', '--until-settled')) == -9)
{
	last if ++$deaths == 20;
}
is($deaths, 4, 'a config whose engine kills its worker is blamed for it');
is(counts($model), 'failed 1', 'and fails');
nothing_twice('a deadly engine');

# --------------------------------------------------------- a broken machine

$model = matrix('fragile', 9);
is(end_of(start_worker($worker, 'BROKEN=1', '--pass-env', 'BROKEN', '--framework', 'fragile', '--name', 'broken', '--until-settled')), 0,
	'a worker on which everything fails at once ends');
is(sql(q{SELECT state FROM benchorch.workers WHERE name = 'broken'}), 'quarantined', 'quarantined');
is(sql(qq{SELECT count(*) || ' ' || bool_or(blamed) FROM benchorch.attempts a
	JOIN benchorch.benchmark_configs c ON c.id = a.config_id WHERE model_version_id = '$model'}), '3 false', 'after three attempts, which count for nothing');
is(counts($model), 'pending 9', 'no config has failed');
is(end_of(start_worker($worker, '--framework', 'fragile', '--name', 'sound', '--until-settled')), 0, 'another worker');
is(counts($model), 'completed 9', 'completes them all');
nothing_twice('a broken machine');

# ------------------------------------------------------------ random kills

my @models;
# Keeps work there for a fleet.
sub refill
{
	push @models, matrix('quick', 300, limits => '{"max_losses": 1000}')
	  if sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'pending'}) < 150;
}

# Config ids that workers were told to be completed.
sub acknowledged
{
	return map { slurp_file($_) =~ /"event":"run_end","config_id":"(\d+)".*?"accepted":true/g } grep { -e } @_;
}

# All that was begun is done, once, and the database has what it has acknowledged.
sub all_is_done
{
	my ($what, @its) = @_;
	my $list = join ',', map { "'$_'" } @models;
	my @ids = acknowledged(map { $_->{log} } @its);

	my @last = map { start_worker($worker, '--framework', 'quick', '--until-settled') } 1 .. 6;
	is(end_of($_), 0, "$what: a last worker ends") foreach @last;
	is(sql("SELECT string_agg(DISTINCT status, ',') FROM benchorch.benchmark_configs WHERE model_version_id IN ($list)"), 'completed',
		"$what: every config is completed");
	is(sql("SELECT count(*) FROM benchorch.benchmark_configs c WHERE model_version_id IN ($list) AND NOT EXISTS (
		SELECT FROM benchorch.benchmark_results r WHERE r.config_id = c.id AND r.accepted AND (parsed ->> 'config')::bigint = c.id)"), '0',
		"$what: with a result of its own");
	is(sql("SELECT string_agg(i::text, ' ') FROM unnest('{" . join(',', @ids) . "}'::bigint[]) AS i WHERE NOT EXISTS (
		SELECT FROM benchorch.benchmark_results r WHERE r.config_id = i AND r.accepted)"), '', "$what: no acknowledged result is lost");
	diag(sprintf '%s: %d configs, %d acknowledged before the end, %s', $what,
		sql("SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id IN ($list)"), scalar @ids,
		sql("SELECT coalesce(string_agg(outcome || ' ' || n, ', '), 'no attempt lost') FROM (SELECT outcome, count(*) AS n FROM benchorch.attempts a
			JOIN benchorch.benchmark_configs c ON c.id = a.config_id WHERE model_version_id IN ($list) GROUP BY 1) AS o"));
	nothing_twice($what);
	@models = ();
}

diag("seed $seed");
srand($seed);
my (@fleet, @retired);
my ($killed, $names) = (0, 0);
my @names_of_steps = sort keys %steps;
$began = time;
while ($killed < $kills)
{
	refill() if $killed % 10 == 0;
	foreach my $slot (0 .. 5)
	{
		my $it = $fleet[$slot];

		next if $it && !ended($it);
		if ($it)
		{
			push @retired, $it;
			$killed += $it->{end} == -9;
			fail("a worker ended by itself, $it->{end}: $it->{log}") if $it->{end} != -9;
		}
		my $name = $it && rand() < 0.5 ? $it->{name} : 'fleet-' . $names++;
		my @options = ('--framework', 'quick', '--name', $name, '--batch-size', 1 + int rand 20);
		push @options, '--no-presence' if rand() < 0.3;
		unshift @options, 'BENCHORCH_FAULT=' . $names_of_steps[ rand @names_of_steps ] . ':' . (1 + int rand 5) if rand() < 0.4;
		$fleet[$slot] = start_worker($faulty, @options);
		$fleet[$slot]{name} = $name;
	}
	sleep rand 0.1;
	kill KILL => $fleet[ rand @fleet ]{pid} if rand() < 0.7;
}
diag(sprintf '%d workers killed in %.1f s', $killed, time - $began);
kill TERM => $_->{pid} foreach grep { !ended($_) } @fleet;
end_of($_) foreach @fleet;
all_is_done('random kills', @retired, @fleet);

# ------------------------------------------- the server stops without warning

@fleet = map { start_worker($worker, '--framework', 'quick', '--name', "outliving-$_", '--batch-size', 10) } 1 .. 4;
my $longest = 0;
foreach my $stop (1 .. $stops)
{
	refill();
	my $results = sql('SELECT count(*) FROM benchorch.benchmark_results');
	$began = time;
	wait_until('results', sub { sql('SELECT count(*) FROM benchorch.benchmark_results') >= $results + 20 });
	$longest = time - $began if time - $began > $longest;
	$node->stop('immediate');
	$node->start;
}
diag(sprintf '%d immediate stops; at most %.1f s until 20 results had come again', $stops, $longest);
wait_until('results after the last stop', sub { sql("SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'pending'") < 20 });
kill TERM => $_->{pid} foreach @fleet;
is(end_of($_), 143, 'a worker outlives the stops') foreach @fleet;
all_is_done('immediate stops', @fleet);

$node->stop;
done_testing();
