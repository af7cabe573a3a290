# Random operations against a reference: one session, where every answer and
# every row is predicted, then eight at once, where what they did to each other
# must be explained (Reference.pm says how).
#
# BENCHORCH_RANDOM_SEED repeats a run: the single session exactly, the others
# as far as concurrency allows.  BENCHORCH_RANDOM_OPERATIONS says how many
# (5000): a fifth of them, at most 5000, by one session.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Reference;
use Session;
use Storable;
use Test::More;
use POSIX ();
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $seed = $ENV{BENCHORCH_RANDOM_SEED} // int(rand(2**31));
my $operations = $ENV{BENCHORCH_RANDOM_OPERATIONS} // 5000;
my $per_round = 1000;
diag("BENCHORCH_RANDOM_SEED=$seed BENCHORCH_RANDOM_OPERATIONS=$operations");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nbenchorch.chunk_size = 8\nbenchorch.lease = '1h'\nlog_statement = none\nrandom.op = 0\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

# ---------------------------------------------------------------- the world

# Time does not pass here: what waits for a retry waits until an operation says that it is due.
my %limits = (crash_delays_s => [ 0, 3600 ], crash_retries => 3);
my @models = map { sprintf '00000000-0000-0000-0000-%012d', $_ } 1 .. 3;
sql('CREATE EXTENSION benchorch');
sql(q{
	CREATE TABLE journal (n bigserial, op bigint DEFAULT current_setting('random.op')::bigint, what "char", id text, typed boolean, facts text);
	CREATE FUNCTION journal() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		it	record := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
	BEGIN
		CASE TG_TABLE_NAME
			WHEN 'benchmark_configs' THEN
				INSERT INTO public.journal (what, id, typed, facts) VALUES (left(TG_OP, 1)::"char", it.id, TG_OP = 'UPDATE' AND OLD.version = it.version,
					concat_ws(',', it.status, coalesce(it.claim_id, 0), it.attempt, it.retry_count, it.run_started::int, (it.due_at IS NOT NULL)::int,
						it.priority, coalesce(it.batch_size, 0), coalesce(it.witness_id, 0), right(it.model_version_id::text, 1), it.lane_id,
						coalesce(it.hardware_config_id, 0), it.framework_id, it.gpus, coalesce(it.sequence_length, 0),
						(it.completed_at IS NOT NULL)::int, (it.started_at IS NOT NULL)::int));
			WHEN 'attempts' THEN
				INSERT INTO public.journal (what, id, facts) VALUES (CASE TG_OP WHEN 'INSERT' THEN 'A' ELSE 'R' END, it.config_id,
					concat_ws(',', it.claim_id, coalesce(it.worker_id::text, ''), it.outcome, it.blamed::int, it.status));
			WHEN 'delayed_configs' THEN
				INSERT INTO public.journal (what, id, facts) VALUES ('W', it.config_id, (it.due_at <= clock_timestamp())::int);
			WHEN 'model_versions' THEN
				INSERT INTO public.journal (what, id, facts) VALUES ('M', right(it.id::text, 1), concat_ws(',', it.paused::int, (it.finalized_at IS NOT NULL)::int));
			WHEN 'workers' THEN
				INSERT INTO public.journal (what, id, facts) VALUES ('V', it.id, concat_ws(',', it.state, it.hardware_config_id, it.gpus, array_to_string(it.framework_ids, ';')));
			WHEN 'worker_leases' THEN
				INSERT INTO public.journal (what, id, facts) VALUES ('L', it.worker_id, concat_ws(',', (it.expires_at < clock_timestamp())::int, coalesce(it.lane_id, 0)));
		END CASE;
		RETURN NULL;
	END $$;
	-- first among the triggers: what is typed comes before what is made of it
	CREATE TRIGGER a_journal AFTER INSERT OR UPDATE OR DELETE ON benchorch.benchmark_configs FOR EACH ROW EXECUTE FUNCTION journal();
	CREATE TRIGGER a_journal AFTER INSERT ON benchorch.attempts FOR EACH ROW EXECUTE FUNCTION journal();
	CREATE TRIGGER b_journal AFTER UPDATE ON benchorch.attempts FOR EACH ROW WHEN (OLD.blamed AND NOT NEW.blamed) EXECUTE FUNCTION journal();
	CREATE TRIGGER a_journal AFTER UPDATE ON benchorch.delayed_configs FOR EACH ROW EXECUTE FUNCTION journal();
	CREATE TRIGGER a_journal AFTER INSERT OR UPDATE ON benchorch.model_versions FOR EACH ROW EXECUTE FUNCTION journal();
	CREATE TRIGGER a_journal AFTER INSERT OR UPDATE ON benchorch.workers FOR EACH ROW EXECUTE FUNCTION journal();
	CREATE TRIGGER a_journal AFTER INSERT OR UPDATE ON benchorch.worker_leases FOR EACH ROW EXECUTE FUNCTION journal();
});
sql('SELECT benchorch.seed_reference_data()');
# 120 cells a model, each so often
sub cells
{
	my ($repeats) = @_;
	return qq{SELECT benchorch.create_template('t', '{"hardware": ["g5.xlarge", "p5.48xlarge"], "frameworks": ["vLLM", "SGLang"],
		"workloads": ["qa", "chatbot"], "batch_sizes": [1, 2, 3, 4, 5], "sequence_lengths": [128, 256], "repeats": $repeats,
		"dimensions": {"tensor_parallel": {"kind": "engine", "values": [1, 2]}}, "exclude": [{"hardware": "g5.xlarge", "tensor_parallel": 2}],
		"limits": {"crash_delays_s": [0, 3600], "crash_retries": 3}}');
		SELECT benchorch.populate_matrix(id, template => 't') FROM benchorch.model_versions};
}
sql("SELECT benchorch.register_model('m', '$_')") foreach @models;
sql(cells(1));
# two kinds of machines; the last has a slot of one GPU
my @registrations = map { "benchorch.register_worker('w$_', '" . ($_ % 2 ? 'p5.48xlarge' : 'g5.xlarge') . q{', '{vLLM, SGLang}'}
	. ($_ == 5 ? q{, '{"gpus": 1}'} : '') . ')' } 0 .. 5;
my @workers = map { sql("SELECT $_") } @registrations;

# ----------------------------------------------------------- the operations

my $template = sql(q{SELECT id FROM benchorch.templates WHERE name = 't'});
my $last_id = sql('SELECT max(id) FROM benchorch.benchmark_configs');
sub one_of { return $_[ rand @_ ]; }

# Pairs (and which attempt each is) that the session was given, the last ones and stale ones among them; none twice.
sub some_of
{
	my ($held, $n) = @_;
	my %seen;
	my $last = @$held > 8 && rand() < 0.6 ? 8 : @$held;
	return grep { !$seen{ $_->[0] }++ } map { $held->[ -1 - int rand $last ] } 1 .. $n;
}

sub array { return "ARRAY[" . join(',', @_) . ']::bigint[]'; }

# One random operation of a session that was given these pairs.
sub operation
{
	my ($held) = @_;
	my $w = int rand 6;
	my $worker = $workers[$w];
	my $m = 1 + int rand 3;
	my $model = "'$models[$m - 1]'";
	my $wanted = 1 + int(rand(rand() < 0.2 ? 60 : 6));
	my $threshold = rand() < 0.2 ? int rand 400 : 1000;
	my $outcome = one_of(qw(crash crash crash timeout bad_output unsupported host_oom preempted node_fault gpu_fault lost));
	my $status = one_of(qw(completed failed skipped cancelled pending));
	my $any = $last_id - 400 + int rand 420;
	my $size = 1 + int rand 90;
	my @mine = @$held ? some_of($held, 1) : ([ $any, 77 ]);
	my ($c, $k) = @{ $mine[0] };
	my @several = @$held ? some_of($held, 1 + int rand 8) : @mine;
	# up to four of one claim: failures in a row are a worker's, unless one of the configs has failed elsewhere too
	my @tried = sort { $b->[2] <=> $a->[2] } @$held > 20 ? @$held[ -20 .. -1 ] : @$held;
	my $claim_id = !@$held ? 0 : rand() < 0.5 ? $held->[-1][1] : $tried[0][1];
	my @row = sort { $b->[2] <=> $a->[2] } grep { $_->[1] == $claim_id } @$held;
	splice @row, 4 if @row > 4;
	@row = @mine if !@row;
	my ($rcs, $rks) = (array(map { $_->[0] } @row), array(map { $_->[1] } @row));
	my ($cs, $ks) = (array(map { $_->[0] } @several), array(map { $_->[1] } @several));
	my %claim = (kind => 'claim', wanted => $wanted);
	my %fenced = (may_refuse => 'BO001', pairs => \@mine);
	my $free = rand() < 0.5 ? 0.99 : 0.5;
	my $column = one_of('priority', 'priority', 'batch_size');
	my $value = $column eq 'priority' ? int rand 900 : $size;
	my $release = one_of(qw(preempted preempted node_fault gpu_fault));
	my $delta = int(rand 200) - 100;
	my $minutes = one_of(0, 120, 120);
	my $partial = one_of('true', 'false');
	my @operations = (
		[ 20, "SELECT config_id, claim_id, attempt FROM benchorch.claim_batch($wanted)", %claim, threshold => 1000 ],
		[ 20, "SELECT config_id, claim_id, attempt FROM benchorch.claim_batch($wanted, worker_id => '$worker')", %claim, threshold => 1000, worker => $worker ],
		[ 4, "SELECT config_id, claim_id, attempt FROM benchorch.claim_batch($wanted, $threshold, model_version_id => $model)", %claim, threshold => $threshold, model => $m ],
		[ 12, "SELECT config_id, claim_id, attempt FROM benchorch.claim_next($c, $k)", kind => 'next', to_status => 'completed', %fenced, wanted => 1, threshold => 1000 ],
		[ 12, "SELECT config_id, claim_id, attempt FROM benchorch.claim_next($c, $k, $threshold, '$worker')",
			kind => 'next', to_status => 'completed', %fenced, wanted => 1, threshold => $threshold, worker => $worker ],
		[ 4, "SELECT config_id, claim_id, attempt FROM benchorch.claim_next(model_version_id => $model)", kind => 'claim', wanted => 1, threshold => 1000, model => $m ],
		[ 16, "SELECT benchorch.start($c, $k)", kind => 'start', answers => 'status', %fenced ],
		[ 12, "SELECT accepted, status, result_id FROM benchorch.hand_in($c, $k, 'ok', '{\"x\": 1}')", kind => 'complete', answers => 'hand_in', %fenced ],
		[ 2, "SELECT accepted, status, result_id FROM benchorch.hand_in($c, $k, 'ok', 'no result')", kind => 'fail', outcome => 'bad_output', answers => 'hand_in', %fenced ],
		[ 18, "SELECT accepted, status, result_id FROM benchorch.hand_in($c, $k, '$outcome', '')", kind => 'fail', outcome => $outcome, answers => 'hand_in', %fenced ],
		[ 2, "SELECT accepted, status, result_id FROM benchorch.hand_in($c, $k, 'gpu_oom', '', details => '{\"gpu_free_share\": $free}')",
			kind => 'fail', outcome => 'gpu_oom', free => $free, answers => 'hand_in', %fenced ],
		[ 6, "SELECT benchorch.complete($c, $k, '{\"x\": 1}')", kind => 'complete', answers => 'result', %fenced ],
		[ 6, "SELECT config_id, sqlstate, result_id FROM benchorch.complete_many($cs, $ks, array_fill('{\"x\": 1}'::text, ARRAY[" . @several . ']))',
			kind => 'complete', to_status => 'completed', answers => 'many', pairs => \@several ],
		[ 4, "SELECT config_id, sqlstate FROM benchorch.update_many($cs, $ks, '$status')", kind => 'update', to_status => $status, answers => 'many', pairs => \@several ],
		[ 4, "SELECT config_id, sqlstate FROM benchorch.update_many($rcs, $rks, 'failed')", kind => 'update', to_status => 'failed', answers => 'many', pairs => \@row ],
		[ 6, "SELECT benchorch.update_status($c, 'failed', claim_id => $k, outcome => '$outcome')", kind => 'fail', outcome => $outcome, to_status => 'failed', answers => 'status', %fenced ],
		[ 3, "SELECT benchorch.update_status($c, '$status', claim_id => $k)", kind => 'update', to_status => $status, answers => 'status', %fenced ],
		[ 3, "SELECT benchorch.update_status($any, '$status')", kind => 'update', to_status => $status, answers => 'status', pairs => [ [ $any, 0 ] ], may_refuse => 'BO002 42704' ],
		[ 6, "SELECT config_id, verdict, coalesce(claim_id, 0) FROM benchorch.heartbeat('$worker', $cs)", kind => 'heartbeat', answers => 'verdicts', worker => $worker, running => [ map { $_->[0] } @several ] ],
		[ 2, "SELECT benchorch.release('$worker', '$release')", kind => 'release', outcome => $release, worker => $worker, answers => 'count' ],
		[ 1, "SELECT benchorch.release_waiting('$worker')", kind => 'release', outcome => 'preempted', waiting => 1, worker => $worker, answers => 'count' ],
		[ 1, "SELECT benchorch.drain_worker('$worker')", kind => 'release', outcome => 'preempted', waiting => 1, worker => $worker, answers => 'count' ],
		[ 1, "SELECT benchorch.quarantine_worker('$worker', 'at random')", kind => 'release', outcome => 'preempted', waiting => 1, worker => $worker, answers => 'count' ],
		[ 5, "SELECT benchorch.unquarantine_worker('$worker')", kind => 'nothing' ],
		[ 5, "SELECT $registrations[$w]", kind => 'nothing' ],
		[ 2, "UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s' WHERE worker_id = '$worker'", kind => 'nothing' ],
		[ 4, "SELECT benchorch.reset_stale($minutes)", kind => 'reset', minutes => $minutes, answers => 'count' ],
		[ 2, q{UPDATE benchorch.delayed_configs SET due_at = clock_timestamp() - interval '1 s' WHERE config_id = ANY (ARRAY(
			SELECT config_id FROM benchorch.delayed_configs FOR UPDATE SKIP LOCKED))}, kind => 'due' ],
		[ 1, "SELECT benchorch.cancel($model)", kind => 'cancel', model => $m, answers => 'count' ],
		[ 3, "SELECT benchorch.retry_failed($model)", kind => 'retry', model => $m, answers => 'count' ],
		[ 1, "SELECT benchorch.retry_failed($model, '$outcome')", kind => 'retry', model => $m, outcome => $outcome, answers => 'count' ],
		[ 1, "SELECT benchorch.pause($model)", kind => 'nothing' ],
		[ 3, "SELECT benchorch.resume($model)", kind => 'nothing' ],
		[ 1, "SELECT benchorch.reprioritize($model, $delta)", kind => 'reprioritize', model => $m, delta => $delta, answers => 'count' ],
		[ 1, "SELECT created FROM benchorch.populate_matrix($model, template => 't')", kind => 'insert', answers => 'count' ],
		[ 1, "INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, template_id)
			VALUES ($model, 1, 1, 'typed', $size, 64, $template) ON CONFLICT DO NOTHING", kind => 'insert' ],
		[ 1, "SELECT benchorch.finalize($model, $partial)", kind => 'nothing', answers => 'finalize', model => $m, partial => $partial eq 'true', may_refuse => '55000' ],
		[ 1, 'SELECT benchorch.finalize_due()', kind => 'nothing' ],
		[ 1, "SELECT benchorch.archive_completed('0 s')", kind => 'delete', answers => 'count' ],
		[ 1, "DELETE FROM benchorch.benchmark_configs WHERE id = $any", kind => 'delete', config => $any ],
		[ 2, "UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, retry_count = retry_count + 1 WHERE status = 'running' AND id = $c",
			kind => 'typed', config => $c, column => 'status', value => 'pending', retries => 1 ],
		[ 2, "UPDATE benchorch.benchmark_configs SET status = '$status' WHERE id = $any", kind => 'typed', config => $any, column => 'status', value => $status, may_refuse => 'BO002' ],
		[ 3, "UPDATE benchorch.benchmark_configs SET $column = $value WHERE id = $any" . ($column eq 'batch_size' ? q{ AND status = 'pending'} : ''),
			kind => 'typed', config => $any, column => $column, value => $value, may_refuse => '23505' ],
		[ 2, "SELECT p ->> 'pending', p ->> 'running', p ->> 'completed', p ->> 'failed', p ->> 'skipped', p ->> 'cancelled' FROM benchorch.progress($model) AS p",
			kind => 'nothing', answers => 'progress', model => $m ],
		[ 1, "SELECT benchorch.explain_empty('$worker'), benchorch.left_for('$worker')", kind => 'nothing' ]);
	my $total = 0;
	$total += $_->[0] foreach @operations;
	my $pick = rand $total;
	foreach (@operations)
	{
		$pick -= $_->[0];
		next if $pick >= 0;
		my ($weight, $sql, %op) = @$_;
		my $rolled_back = rand() < 0.03;
		return { %op, sql => $sql, rolled_back => $rolled_back };
	}
}

my $round = 0;
# So many operations of one session; what was done, and what it was given.
sub at_it
{
	my ($session, $n, $random, $held) = @_;
	my $psql = Session->new($node->connstr('postgres'));
	my @done;

	srand $random;
	foreach my $i (1 .. $n)
	{
		my $op = operation($held);
		$op->{id} = $session * 10_000_000 + $round * $per_round + $i;
		$op->{from} = clock_gettime(CLOCK_MONOTONIC);
		my $answer = $psql->do("SET random.op = $op->{id};\n" . ($op->{rolled_back} ? "BEGIN;\n$op->{sql};\nROLLBACK" : $op->{sql}));
		$op->{to} = clock_gettime(CLOCK_MONOTONIC);
		@$op{ keys %$answer } = values %$answer;
		push @done, $op;
		next if $op->{kind} !~ /^(claim|next)$/;
		push @$held, map { [ @$_[ 0, 1, 2 ] ] } @{ $op->{rows} };
		splice @$held, 0, -60 if @$held > 60;
	}
	$psql->close;
	return { done => \@done, held => $held };
}

# Deleted cells do not come again, so there are new ones from time to time; that is an operation, too.
my $repeats = 1;
sub refill
{
	my ($id) = @_;
	return if sql('SELECT count(*) FROM benchorch.benchmark_configs') > 200;
	my $from = clock_gettime(CLOCK_MONOTONIC);
	sql("SET random.op = $id; " . cells(++$repeats));
	$last_id = sql('SELECT max(id) FROM benchorch.benchmark_configs');
	return { id => $id, kind => 'insert', sql => 'more cells', from => $from, to => clock_gettime(CLOCK_MONOTONIC), rows => [], sqlstate => '' };
}

# -------------------------------------------------------------- the checks

my $picture = q{SELECT id, status, coalesce(claim_id, 0), attempt, retry_count, run_started::int, (due_at IS NOT NULL)::int, priority, coalesce(batch_size, 0),
	coalesce(witness_id, 0) FROM benchorch.benchmark_configs ORDER BY id};
my %refused;

# The journal since the last time, to the reference; its problems.
sub check
{
	my ($reference, @done) = @_;
	my @journal = map { [ split /\|/, $_, -1 ] } split /\n/, sql('SELECT n, op, what, id, coalesce(typed, false), facts FROM journal ORDER BY n');

	sql('TRUNCATE journal');
	$refused{ $_->{sqlstate} || 'done' }++ foreach @done;
	my @problems = $reference->check(\@done, \@journal);
	push @problems, 'the table is not what the reference says' if sql($picture) ne $reference->picture;
	push @problems, split /\n/, sql('SELECT * FROM benchorch.check_invariants()');
	return @problems;
}

sub report
{
	my ($what, @problems) = @_;
	my $n = @problems;
	diag("$what: $_") foreach splice @problems, 0, 12;
	is($n, 0, $what);
}

my $reference = Reference->new(limits => \%limits, exact => 1);
report('the world as it was made', check($reference, { id => 0, kind => 'insert', sql => 'setup', from => 0, to => 0.001, rows => [], sqlstate => '' }));

# one session: everything is predicted
my $alone = $operations < 25_000 ? int($operations / 5) : 5000;
my ($held, $left) = ([], $alone);
my @problems;
while ($left > 0)
{
	my $n = $left < $per_round ? $left : $per_round;
	my @more = refill(90_000_000 + $round);
	my $its = at_it(0, $n, $seed + $round, $held);
	$held = $its->{held};
	$round++;
	push @problems, check($reference, @more, @{ $its->{done} });
	$left -= $n;
	last if @problems;
}
report("one session: $alone operations as predicted", @problems);

# eight sessions: everything is explained
@problems = ();
$reference->{exact} = 0;
$reference->{alone} = 0;
my @held = map { [] } 1 .. 8;
$left = $operations - $alone;
my $concurrent = $left;
while ($left > 0)
{
	my $n = $left < 8 * $per_round ? int($left / 8) + 1 : $per_round;
	my @done = refill(90_000_000 + $round);
	my %child;

	foreach my $session (1 .. 8)
	{
		my $file = "$PostgreSQL::Test::Utils::tmp_check/session_$session";
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			store(at_it($session, $n, $seed + 10 * $round + $session, $held[ $session - 1 ]), $file);
			POSIX::_exit(0);
		}
		$child{$pid} = [ $session, $file ];
	}
	while (%child)
	{
		my ($session, $file) = @{ delete $child{ +wait } };
		die "session $session has failed\n" if $?;
		my $its = retrieve($file);
		push @done, @{ $its->{done} };
		$held[ $session - 1 ] = $its->{held};
	}
	push @problems, check($reference, @done);
	$left -= 8 * $n;
	$round++;
	last if @problems;
}
report("eight sessions: $concurrent operations explained", @problems);
diag(sprintf '%d of them overlapped no other; %s', $reference->{alone}, join ', ', map { "$_ $refused{$_}" } sort keys %refused);
is(sql(q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'}), '0', 'nobody waited in a circle')
  or diag(slurp_file($node->logfile) =~ /(ERROR:  deadlock detected\n.*?STATEMENT:.*?\n)/s);

# what was told is there, once
my $told = join ',', map { my $it = $reference->{resulted}{$_}; my ($c, $k) = split ' '; "($c, $k, $it->{id})" }
  grep { $reference->{resulted}{$_}{accepted} } keys %{ $reference->{resulted} };
sql("CREATE TABLE told AS SELECT * FROM (VALUES $told) AS t (config_id, claim_id, result_id)");
is(sql(q{SELECT count(*) FROM told AS t WHERE 1 <> (
	SELECT count(*) FROM (SELECT id, config_id, claim_id, accepted FROM benchorch.benchmark_results UNION ALL SELECT id, config_id, claim_id, accepted FROM benchorch.archived_results) AS r
	WHERE r.id = t.result_id AND r.config_id = t.config_id AND r.claim_id = t.claim_id AND r.accepted)}), '0', 'every accepted result is there, once');
is(sql(q{SELECT count(*) FROM (SELECT FROM (SELECT config_id, accepted FROM benchorch.benchmark_results UNION ALL SELECT config_id, accepted FROM benchorch.archived_results) AS r
	WHERE accepted GROUP BY config_id HAVING count(*) > 1) AS d}), '0', 'no config has two accepted results');
is(sql(q{SELECT count(*) FROM (SELECT config_id FROM told) AS t LEFT JOIN benchorch.benchmark_configs c ON c.id = t.config_id LEFT JOIN benchorch.archived_configs a ON a.id = t.config_id
	WHERE coalesce(c.status, a.status) IS DISTINCT FROM 'completed'}), '0', 'and its config is completed');

# all that is left can be worked off
sql("SELECT benchorch.resume('$_')") foreach @models;
sql('SELECT benchorch.reset_stale(0)');
sql("UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s'; SELECT benchorch.reset_stale(0)");
sql('UPDATE benchorch.delayed_configs SET due_at = clock_timestamp()');
foreach (1 .. 200)
{
	last if sql(q{WITH b AS MATERIALIZED (SELECT config_id, claim_id FROM benchorch.claim_batch(500, 2147483647))
		SELECT count(*) FROM benchorch.update_many(ARRAY(SELECT config_id FROM b), ARRAY(SELECT claim_id FROM b), 'completed')}) == 0;
}
is(sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status IN ('pending', 'running')}), '0', 'all that was left was claimed and completed');
sql('SELECT benchorch.reset_stale(0)');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold at the end');
is(sql(q{SELECT count(*) FROM benchorch.model_versions m WHERE finalized_at IS NULL AND EXISTS (SELECT FROM benchorch.benchmark_configs c WHERE c.model_version_id = m.id)}), '0', 'every model is ranked');

$node->stop;
done_testing();
