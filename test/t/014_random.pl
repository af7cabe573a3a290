# Random operations by several sessions at once: whatever they do to each
# other, the invariants hold, nothing that was acknowledged is lost, and all
# that is left can be worked off.
#
# BENCHORCH_RANDOM_SEED repeats a run as far as concurrency allows, and
# BENCHORCH_RANDOM_OPERATIONS says how many (5000).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{BENCHORCH_RANDOM_SEED} // int(rand(2**31));
my $operations = $ENV{BENCHORCH_RANDOM_OPERATIONS} // 5000;
my $sessions = 8;
srand($seed);
diag("BENCHORCH_RANDOM_SEED=$seed BENCHORCH_RANDOM_OPERATIONS=$operations");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nbenchorch.chunk_size = 8\nlog_statement = none\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

my @models = map { sprintf '00000000-0000-0000-0000-%012d', $_ } 1 .. 3;
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql(q{SELECT benchorch.create_template('t', '{"hardware": ["g5.xlarge", "p5.48xlarge"], "frameworks": ["vLLM", "SGLang"],
	"workloads": ["qa", "chatbot"], "batch_sizes": [1, 2, 3, 4, 5], "sequence_lengths": [128, 256],
	"dimensions": {"tensor_parallel": {"kind": "engine", "values": [1, 2]}}, "exclude": [{"hardware": "g5.xlarge", "tensor_parallel": 2}],
	"limits": {"crash_delays_s": [0, 0.05], "crash_retries": 3}}')});
sql("SELECT benchorch.register_model('m', '$_'), benchorch.populate_matrix('$_', template => 't')") foreach @models;
sql("SELECT benchorch.register_worker('w$_', '" . ($_ % 2 ? 'g5.xlarge' : 'p5.48xlarge') . "', '{vLLM, SGLang}')") foreach 0 .. 5;
# what each session was given, and what it was told has been accepted
sql('CREATE TABLE held (session int, config_id bigint, claim_id bigint); CREATE INDEX ON held (session)');
sql('CREATE TABLE told (config_id bigint, claim_id bigint, result_id bigint)');

# One random operation of a session, as SQL; :n is a random number for each use.
sub operation
{
	my ($session) = @_;
	my $n = int(rand(1 << 30));
	my $m = "'$models[rand @models]'";
	my $batch = 1 + int(rand(rand() < 0.2 ? 60 : 6));
	my $worker = "(SELECT id FROM benchorch.workers WHERE name = 'w" . int(rand(6)) . "')";
	# one config for the calls that take one: a transaction of several would have to mind their order itself
	my $some = "SELECT config_id, claim_id FROM held WHERE session = $session ORDER BY hashint8extended(config_id, $n) LIMIT";
	my $mine = "($some 1) AS h";
	my $several = "($some " . (1 + int(rand(8))) . ') AS h';
	my $any = "(SELECT id FROM benchorch.benchmark_configs ORDER BY hashint8extended(id, $n) LIMIT 1)";
	my $outcome = (qw(crash crash timeout bad_output unsupported host_oom preempted node_fault gpu_fault lost))[rand 10];
	my $status = (qw(completed failed skipped cancelled pending))[rand 5];
	my $arrays = "(SELECT coalesce(array_agg(config_id ORDER BY config_id DESC), '{}') AS c, coalesce(array_agg(claim_id ORDER BY config_id DESC), '{}') AS k,
		coalesce(array_agg('{\"x\": 1}'::text), '{}') AS r FROM $several) AS a";
	my @operations = (
		[20, "INSERT INTO held SELECT $session, config_id, claim_id FROM benchorch.claim_batch($batch)"],
		[20, "INSERT INTO held SELECT $session, config_id, claim_id FROM benchorch.claim_batch($batch, worker_id => $worker)"],
		[4, "INSERT INTO held SELECT $session, config_id, claim_id FROM benchorch.claim_batch($batch, " . int(rand(400)) . ", model_version_id => $m)"],
		[6, "SELECT benchorch.start(config_id, claim_id) FROM $mine"],
		[20, "INSERT INTO told SELECT h.config_id, h.claim_id, r.result_id FROM $mine, LATERAL benchorch.hand_in(h.config_id, h.claim_id, 'ok', '{\"x\": 1}') AS r WHERE r.accepted"],
		[8, "SELECT benchorch.hand_in(config_id, claim_id, '$outcome', '') FROM $mine"],
		[6, "INSERT INTO told SELECT config_id, claim_id, benchorch.complete(config_id, claim_id, '{\"x\": 1}') FROM $mine"],
		[6, "SELECT count(*) FROM $arrays, LATERAL benchorch.complete_many(a.c, a.k, a.r)"],
		[4, "SELECT count(*) FROM $arrays, LATERAL benchorch.update_many(a.c, a.k, '$status')"],
		[6, "SELECT benchorch.update_status(config_id, 'failed', claim_id => claim_id, outcome => '$outcome') FROM $mine"],
		[3, "SELECT benchorch.update_status(id, '$status') FROM $any AS c"],
		[6, "SELECT count(*) FROM benchorch.heartbeat($worker, ARRAY(SELECT config_id FROM $several))"],
		[2, "SELECT benchorch.release($worker)"],
		[1, "SELECT benchorch.release_waiting($worker)"],
		[2, "UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s' WHERE worker_id = $worker"],
		[3, 'SELECT benchorch.reset_stale()'],
		[1, 'SELECT benchorch.reset_stale(0)'],
		[1, "SELECT benchorch.cancel($m)"],
		[2, "SELECT benchorch.retry_failed($m)"],
		[1, "SELECT benchorch.retry_failed($m, '$outcome')"],
		[1, "SELECT benchorch.pause($m)"],
		[3, "SELECT benchorch.resume($m)"],
		[1, "SELECT benchorch.reprioritize($m, " . (int(rand(200)) - 100) . ')'],
		[1, "SELECT benchorch.populate_matrix($m, template => 't')"],
		[1, "SELECT benchorch.finalize($m, " . (rand() < 0.5 ? 'true' : 'false') . ')'],
		[1, 'SELECT benchorch.finalize_due()'],
		[1, "SELECT benchorch.register_worker('w" . int(rand(6)) . "', '" . (rand() < 0.5 ? 'g5.xlarge' : 'p5.48xlarge') . "', '{vLLM, SGLang}')"],
		[1, "SELECT benchorch.quarantine_worker($worker, 'at random')"],
		[2, "SELECT benchorch.unquarantine_worker($worker)"],
		[1, "SELECT benchorch.drain_worker($worker)"],
		[1, "SELECT benchorch.archive_completed('1 ms')"],
		[2, "UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, retry_count = retry_count + 1 WHERE status = 'running' AND id IN (SELECT config_id FROM $mine)"],
		[1, "UPDATE benchorch.benchmark_configs SET status = '$status' WHERE id IN $any"],
		[2, "UPDATE benchorch.benchmark_configs SET priority = " . int(rand(900)) . " WHERE id IN $any"],
		[1, "UPDATE benchorch.benchmark_configs SET batch_size = " . (1 + int(rand(90))) . " WHERE status = 'pending' AND id IN $any"],
		[1, "DELETE FROM benchorch.benchmark_configs WHERE id IN $any"],
		[1, "INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length) VALUES ($m, 1, 1, 'typed', " . (1 + int(rand(50))) . ', 64) ON CONFLICT DO NOTHING'],
		[1, "SELECT benchorch.progress($m), benchorch.explain_empty($worker), benchorch.left_for($worker)"]);
	my $total = 0;
	$total += $_->[0] foreach @operations;
	my $pick = rand($total);
	foreach (@operations)
	{
		$pick -= $_->[0];
		next if $pick >= 0;
		my $statement = "$_->[1];";
		# now and then several in one transaction, or one that is rolled back
		return "BEGIN;\n$statement\n" . (rand() < 0.5 ? 'ROLLBACK;' : 'COMMIT;') if rand() < 0.05;
		return $statement;
	}
}

my @running;
foreach my $session (1 .. $sessions)
{
	my $path = "$PostgreSQL::Test::Utils::tmp_check/session_$session.sql";
	my $script = "\\set VERBOSITY verbose\nSET client_min_messages = error;\n";

	$script .= operation($session) . "\n" foreach 1 .. $operations / $sessions;
	append_to_file($path, $script);
	my %it = (out => '', err => '');
	$it{handle} = IPC::Run::start(['psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $path], '<', \undef, '>', '/dev/null', '2>', \$it{err});
	push @running, \%it;
}
# what may be refused: stale claims, transitions that there are not, work left, cells that there are; never a deadlock
my %refused;
my @bad;
foreach my $it (@running)
{
	$it->{handle}->finish;
	foreach (split /\n/, $it->{err})
	{
		next unless /ERROR:\s+(\w{5}):\s(.*)/;
		$refused{$1}++;
		push @bad, $_ unless $1 =~ /^(BO001|BO002|55000|23505)$/;
	}
}
diag('refused: ' . join ', ', map { "$_ $refused{$_}" } sort keys %refused);
is(join("\n", @bad), '', 'nothing but what may be refused was refused');
sub invariants { return sql('SELECT * FROM benchorch.check_invariants()'); }
is(invariants(), '', 'the invariants hold');

# what was told is there, once
is(sql(q{SELECT count(*) FROM (SELECT DISTINCT config_id, claim_id, result_id FROM told) AS t WHERE 1 <> (
	SELECT count(*) FROM (SELECT id, config_id, claim_id, accepted FROM benchorch.benchmark_results UNION ALL SELECT id, config_id, claim_id, accepted FROM benchorch.archived_results) AS r
	WHERE r.id = t.result_id AND r.config_id = t.config_id AND r.claim_id = t.claim_id AND r.accepted)}), '0', 'every accepted result is there, once');
is(sql(q{SELECT count(*) FROM (SELECT FROM (SELECT config_id, accepted FROM benchorch.benchmark_results UNION ALL SELECT config_id, accepted FROM benchorch.archived_results) AS r
	WHERE accepted GROUP BY config_id HAVING count(*) > 1) AS d}), '0', 'no config has two accepted results');
is(sql(q{SELECT count(*) FROM (SELECT config_id FROM told) AS t LEFT JOIN benchorch.benchmark_configs c ON c.id = t.config_id LEFT JOIN benchorch.archived_configs a ON a.id = t.config_id
	WHERE coalesce(c.status, a.status) IS DISTINCT FROM 'completed'}), '0', 'and its config is completed');
is(sql(q{SELECT count(*) FROM (SELECT config_id FROM held GROUP BY config_id, claim_id HAVING count(*) > 1) AS d}), '0', 'no token was given out twice for a config');

# all that is left can be worked off
sql("SELECT benchorch.resume('$_')") foreach @models;
sql('SELECT benchorch.reset_stale(0)');
sql("UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 s'; SELECT benchorch.reset_stale(0)");
sql('UPDATE benchorch.delayed_configs SET due_at = clock_timestamp()');
foreach (1 .. 200)
{
	last if sql(q{SELECT count(*) FROM benchorch.update_many((SELECT array_agg(config_id) FROM b), (SELECT array_agg(claim_id) FROM b), 'completed')} =~
		s/^SELECT/WITH b AS MATERIALIZED (SELECT config_id, claim_id FROM benchorch.claim_batch(500, 2147483647)) SELECT/r =~
		s/\(SELECT array_agg/(SELECT coalesce(array_agg/gr =~ s/(config_id|claim_id)\) FROM b/$1), '{}') FROM b/gr) == 0;
}
is(sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status IN ('pending', 'running')}), '0', 'all that was left was claimed and completed');
sql('SELECT benchorch.reset_stale(0)');
is(invariants(), '', 'the invariants hold at the end');
is(sql(q{SELECT count(*) FROM benchorch.model_versions m WHERE finalized_at IS NULL AND EXISTS (SELECT FROM benchorch.benchmark_configs c WHERE c.model_version_id = m.id)}), '0', 'every model is ranked');

$node->stop;
done_testing();
