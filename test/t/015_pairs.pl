# Every pair of verbs that can race, in both orders, on the same few configs.
#
# First one verb in an open transaction, then the other beside it, then the
# end of the first.  Then, to find locks that are taken in different orders: a
# third session holds one row, the first verb stops there in the middle of its
# work, the second one runs into it, and the row is let go.  Whatever they do,
# nobody waits in a circle, nothing is refused but what may be, the invariants
# hold, and all that is left can be worked off.
#
# That are some thousand pairs: BENCHORCH_PAIRS_EVERY=1 tries them all, as
# continuous integration does; otherwise it is every fifth.
#
# test/specs/README.md says which verbs these are, and what the isolation
# specs show of single pairs.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::Bin;
use IO::Select;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nbenchorch.chunk_size = 2\nbenchorch.lease = '1h'\ndeadlock_timeout = 20ms\nlog_statement = none\n");
$node->start;
my ($one, $two, $three, $operator) = map { Session->new($node->connstr('postgres')) } 1 .. 4;

sub sql
{
	my ($statement) = @_;
	my $answer = $operator->do($statement);
	die "$statement: $answer->{message}\n" if $answer->{sqlstate};
	return join "\n", map { join '|', @$_ } @{ $answer->{rows} };
}

# The fixture: nine configs of one lane and one model version.
#   1 running and begun, 2 running, both of worker w; 3 running without worker;
#   4, 5 pending; 6 failed; 7 completed; 8 waiting for its retry time; 9 cancelled
# Two other configs have failed on w just before.
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql(q{SELECT benchorch.create_template('nine', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9], "sequence_lengths": [1024]}')});
sql(q{SELECT benchorch.create_template('more', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 9, 10], "sequence_lengths": [1024]}')});
sql(q{
	CREATE TABLE fixture (n int, config bigint, claim bigint);
	CREATE FUNCTION fixture(m uuid, w text, v text) RETURNS text LANGUAGE plpgsql AS $$
	DECLARE
		w_id	uuid := benchorch.register_worker(w, 'g5.xlarge', '{vLLM, SGLang}', '{"session": "before"}');
		v_id	uuid := benchorch.register_worker(v, 'g5.xlarge', '{vLLM, SGLang}');
	BEGIN
		TRUNCATE fixture;
		PERFORM benchorch.register_model('m', m);
		PERFORM benchorch.populate_matrix(m, template => 'nine');
		INSERT INTO fixture (n, config) SELECT batch_size, id FROM benchorch.benchmark_configs WHERE model_version_id = m;
		UPDATE benchorch.benchmark_configs SET priority = batch_size WHERE model_version_id = m;
		UPDATE fixture SET claim = t.claim_id FROM benchorch.claim_batch(2, worker_id => w_id, model_version_id => m) AS t WHERE t.config_id = config;
		ASSERT (SELECT count(claim) = 2 FROM fixture WHERE n <= 2), 'the worker has taken the first two';
		PERFORM benchorch.start(config, claim) FROM fixture WHERE n = 1;
		UPDATE benchorch.benchmark_configs SET priority = priority + 100 WHERE model_version_id = m AND batch_size IN (4, 5);
		UPDATE fixture SET claim = t.claim_id FROM benchorch.claim_batch(5, model_version_id => m) AS t WHERE t.config_id = config;
		PERFORM benchorch.update_status(config, 'failed', claim_id => claim, outcome => 'unsupported') FROM fixture WHERE n = 6;
		PERFORM benchorch.complete(config, claim, '{"x": 1}') FROM fixture WHERE n = 7;
		PERFORM benchorch.update_status(config, 'failed', claim_id => claim, outcome => 'crash') FROM fixture WHERE n = 8;
		PERFORM benchorch.update_status(config, 'cancelled') FROM fixture WHERE n = 9;
		INSERT INTO benchorch.worker_failures VALUES (w_id, '{-1, -2}'), (v_id, '{-1, -2}') ON CONFLICT (worker_id) DO UPDATE SET config_ids = excluded.config_ids;
		UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s' WHERE worker_id = w_id;
		RETURN concat_ws(' ', w_id, v_id, (SELECT string_agg(concat_ws(' ', config, coalesce(claim, 0)), ' ' ORDER BY n) FROM fixture));
	END $$;
});

# The verbs: $m model version, $w worker, $w_name its name, $v another worker, $c1 ... $c9 configs, $k1 ... $k9 their claims.
my %verbs = (
	'claim_batch' => 'SELECT count(*) FROM benchorch.claim_batch(2, model_version_id => $m)',
	'claim_batch, its worker' => 'SELECT count(*) FROM benchorch.claim_batch(2, worker_id => $w, model_version_id => $m)',
	'claim_batch, another worker' => 'SELECT count(*) FROM benchorch.claim_batch(2, worker_id => $v, model_version_id => $m)',
	'claim_next' => 'SELECT count(*) FROM benchorch.claim_next($c3, $k3, model_version_id => $m)',
	'claim_next, its worker' => 'SELECT count(*) FROM benchorch.claim_next($c2, $k2, worker_id => $w, model_version_id => $m)',
	# the second goes on under the claim of the first
	'claim_next, twice' => 'SELECT count(*) FROM benchorch.claim_next($c1, $k1, worker_id => $w, model_version_id => $m) AS n,
		LATERAL benchorch.claim_next(n.config_id, n.claim_id, worker_id => $w, model_version_id => $m)',
	'start' => 'SELECT benchorch.start($c2, $k2)',
	'hand_in ok' => q{SELECT benchorch.hand_in($c1, $k1, 'ok', '{"x": 1}')},
	'hand_in crash, the third' => q{SELECT benchorch.hand_in($c1, $k1, 'crash', '')},
	'hand_in node_fault' => q{SELECT benchorch.hand_in($c2, $k2, 'node_fault', '')},
	'hand_in gpu_oom, a witness' => q{SELECT benchorch.hand_in($c1, $k1, 'gpu_oom', '', details => '{"gpu_free_share": 0.99}')},
	'hand_in_many' => q{SELECT benchorch.hand_in_many(ARRAY[$c2, $c1], ARRAY[$k2, $k1], '{crash, ok}', ARRAY['', '{"x": 1}']::bytea[])},
	'complete' => q{SELECT benchorch.complete($c2, $k2, '{"x": 1}')},
	'complete_many' => q{SELECT benchorch.complete_many(ARRAY[$c3, $c7, $c1], ARRAY[$k3, $k7, $k1], array_fill('{"x": 1}'::text, ARRAY[3]))},
	'update_status failed' => q{SELECT benchorch.update_status($c3, 'failed', claim_id => $k3)},
	'update_status, unfenced' => q{SELECT benchorch.update_status($c8, 'skipped')},
	'update_status pending' => q{SELECT benchorch.update_status($c1, 'pending', claim_id => $k1)},
	'update_many' => q{SELECT benchorch.update_many(ARRAY[$c3, $c2], ARRAY[$k3, $k2], 'failed', 'timeout')},
	'update_many completed' => q{SELECT benchorch.update_many(ARRAY[$c7, $c3, $c1], ARRAY[$k7, $k3, $k1], 'completed')},
	'heartbeat' => 'SELECT benchorch.heartbeat($w, ARRAY[$c1])',
	'register_worker, another process' => q{SELECT benchorch.register_worker('$w_name', 'g5.xlarge', '{vLLM}', '{"session": "after"}')},
	'release' => 'SELECT benchorch.release($w)',
	'release node_fault' => q{SELECT benchorch.release($w, 'node_fault')},
	'release gpu_fault' => q{SELECT benchorch.release($w, 'gpu_fault')},
	'drain_worker' => 'SELECT benchorch.drain_worker($w)',
	'quarantine_worker' => q{SELECT benchorch.quarantine_worker($w, 'why not')},
	'unquarantine_worker' => q{SELECT benchorch.unquarantine_worker($w)},
	'reset_stale' => 'SELECT benchorch.reset_stale(0)',
	'pause' => 'SELECT benchorch.pause($m)',
	'resume' => 'SELECT benchorch.resume($m)',
	'cancel' => 'SELECT benchorch.cancel($m)',
	'retry_failed' => 'SELECT benchorch.retry_failed($m)',
	'reprioritize' => 'SELECT benchorch.reprioritize($m, 7)',
	'rerun_changed' => 'SELECT benchorch.rerun_changed($m)',
	'archive_completed' => q{SELECT benchorch.archive_completed('0 s')},
	'populate_matrix' => q{SELECT benchorch.populate_matrix($m, template => 'more')},
	'finalize, partial' => 'SELECT benchorch.finalize($m, true)',
	'UPDATE to pending' => q{UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, retry_count = retry_count + 1
		WHERE status = 'running' AND id IN ($c1, $c3)},
	'UPDATE of priorities' => 'UPDATE benchorch.benchmark_configs SET priority = 50 WHERE model_version_id = $m',
	'UPDATE of sizes' => 'UPDATE benchorch.benchmark_configs SET sequence_length = 2048 WHERE model_version_id = $m',
	'DELETE' => 'DELETE FROM benchorch.benchmark_configs WHERE id IN ($c2, $c5)',
	'INSERT' => q{INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
		SELECT model_version_id, hardware_config_id, framework_id, workload_type, 10, 1024 FROM benchorch.benchmark_configs WHERE id = $c7 ON CONFLICT DO NOTHING},
	'TRUNCATE' => 'TRUNCATE benchorch.benchmark_configs');
# The rows at which a verb can be made to stop.
my %rows = (
	'the first config' => 'SELECT FROM benchorch.benchmark_configs WHERE id = $c1 FOR UPDATE',
	'the second config' => 'SELECT FROM benchorch.benchmark_configs WHERE id = $c2 FOR UPDATE',
	'the third config' => 'SELECT FROM benchorch.benchmark_configs WHERE id = $c3 FOR UPDATE',
	'the worker' => 'SELECT FROM benchorch.workers WHERE id = $w FOR UPDATE',
	'the lease' => 'SELECT FROM benchorch.worker_leases WHERE worker_id = $w FOR UPDATE',
	'the row of failures' => 'SELECT FROM benchorch.worker_failures WHERE worker_id = $w FOR UPDATE',
	'the model version' => 'SELECT FROM benchorch.model_versions WHERE id = $m FOR UPDATE');
my $may_refuse = qr/^(|BO001|BO002|55000|42704)$/;

my $models = 0;
my %now;
sub fixture
{
	my $name = 'w' . ++$models;
	my $model = sprintf '00000000-0000-0000-0000-%012d', $models;
	my ($w, $v, @configs) = split / /, sql("SELECT fixture('$model', '$name', 'v$models')");

	%now = (m => "'$model'", w => "'$w'", v => "'$v'", w_name => $name);
	@now{ "c$_", "k$_" } = splice @configs, 0, 2 foreach 1 .. 9;
}
sub filled { return $_[0] =~ s/\$(\w+)/$now{$1}/gr; }

# The answer where it comes, undef where the session waits for another one, or goes on looking.
sub answer
{
	my ($session) = @_;
	my $select = IO::Select->new($session->{out});
	my $until = time + 0.15;

	until ($select->can_read(0.003))
	{
		return if time > $until || sql("SELECT cardinality(pg_blocking_pids($session->{backend}))") > 0;
	}
	return $session->take;
}

my $every = $ENV{BENCHORCH_PAIRS_EVERY} // 5;
my $turn = 0;
sub is_its_turn { return $turn++ % $every == 0; }

my @wrong;
sub expect
{
	my ($what, %answers) = @_;
	push @wrong, map { "$what: $_ is refused with $answers{$_}{sqlstate}: $answers{$_}{message}" } grep { $answers{$_}{sqlstate} !~ $may_refuse } sort keys %answers;
	push @wrong, map { "$what: $_" } split /\n/, sql('SELECT * FROM benchorch.check_invariants()');

	# all that is left can be worked off
	sql("SELECT benchorch.resume($now{m}); UPDATE benchorch.delayed_configs SET due_at = clock_timestamp();
		UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s'; SELECT benchorch.reset_stale(0)");
	sql(q{WITH b AS MATERIALIZED (SELECT config_id, claim_id FROM benchorch.claim_batch(500, 100000))
		SELECT count(*) FROM benchorch.update_many(ARRAY(SELECT config_id FROM b), ARRAY(SELECT claim_id FROM b), 'completed')});
	push @wrong, map { "$what: at the end $_" } split /\n/, sql(q{SELECT 'config ' || id || ' is ' || status FROM benchorch.benchmark_configs WHERE status IN ('pending', 'running')
		UNION ALL SELECT 'model version ' || id || ' is not ranked' FROM benchorch.model_versions m
		WHERE finalized_at IS NULL AND EXISTS (SELECT FROM benchorch.benchmark_configs c WHERE c.model_version_id = m.id)
		UNION ALL SELECT problem || ': ' || object FROM benchorch.check_invariants()})
		if sql('SELECT benchorch.reset_stale(0)') || 1;
	sql("DELETE FROM benchorch.benchmark_configs; DELETE FROM benchorch.archived_configs; DELETE FROM benchorch.archived_results;
		DELETE FROM benchorch.worker_leases; DELETE FROM benchorch.workers; DELETE FROM benchorch.worker_failures; DELETE FROM benchorch.attempts");
}

sub report
{
	my ($what) = @_;
	is(scalar @wrong, 0, $what);
	diag($_) foreach splice @wrong, 0, 60;
	@wrong = ();
}

# ------------------------------------------- one in a transaction, one beside it

my @names = sort keys %verbs;
my $began = time;
my ($waits, $n) = (0, 0);
foreach my $first (@names)
{
	foreach my $second (grep { is_its_turn() } @names)
	{
		fixture();
		$one->do('BEGIN');
		my $answer = $one->do(filled($verbs{$first}));
		$two->send(filled($verbs{$second}));
		my $beside = answer($two);
		$waits += !$beside;
		# a transaction in which something was refused is rolled back
		$one->do('COMMIT');
		$beside //= $two->take;
		expect("$first, then $second", $first => $answer, "$second, second," => $beside);
		$n++;
	}
}
diag(sprintf '%d ordered pairs, %d where the second waited, in %.0f s', $n, $waits, time - $began);
report("$n pairs of verbs, one in a transaction, one beside it");

# --------------------------------------------------- both in the middle of it

# Which verbs stop at which rows?
my %stops;
foreach my $row (sort keys %rows)
{
	foreach my $first (@names)
	{
		fixture();
		$three->do('BEGIN');
		$three->do(filled($rows{$row}));
		$one->send(filled($verbs{$first}));
		my $answer = answer($one);
		push @{ $stops{$row} }, $first if !$answer && sql("SELECT cardinality(pg_blocking_pids($one->{backend}))") > 0;
		$three->do('ROLLBACK');
		$answer //= $one->take;
		expect("$first at $row", $first => $answer);
	}
}
$began = time;
$n = 0;
foreach my $row (sort keys %stops)
{
	foreach my $first (@{ $stops{$row} })
	{
		foreach my $second (grep { is_its_turn() } @names)
		{
			fixture();
			$three->do('BEGIN');
			$three->do(filled($rows{$row}));
			$one->send(filled($verbs{$first}));
			my $answer = answer($one);
			$two->send(filled($verbs{$second}));
			my $beside = answer($two);
			$three->do('ROLLBACK');
			$answer //= $one->take;
			$beside //= $two->take;
			expect("$first stopped at $row, then $second", $first => $answer, "$second, second," => $beside);
			$n++;
		}
	}
}
diag(sprintf '%d pairs with one in the middle of its work in %.0f s', $n, time - $began);
diag("$_: " . join ', ', @{ $stops{$_} }) foreach sort keys %stops;
report("$n pairs of verbs, one of them stopped in the middle of its work");

$_->close foreach $one, $two, $three, $operator;
$node->stop;
done_testing();
