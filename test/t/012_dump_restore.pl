# A dump in the middle of the work, restored into a fresh database by
# pg_restore (also in parallel) and as plain SQL: nothing is lost, what was running counts as
# expired, and neither ids nor tokens come again.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { my ($statement, $database) = @_; return $node->safe_psql($database || 'postgres', $statement); }
sub sqlstate
{
	my ($statement, $database) = @_;
	my ($code, $out, $error) = $node->psql($database, "\\set VERBOSITY sqlstate\n$statement");
	return $code == 0 ? 'accepted' : $error =~ /ERROR:\s+(\w{5})/ ? $1 : $error;
}
my $dumps = PostgreSQL::Test::Utils::tempdir;
sub dump_to { $node->command_ok(['pg_dump', '-Fc', '-f', "$dumps/$_[0]", $node->connstr('postgres')], "dump $_[0]"); }
sub restore
{
	my ($dump, $database) = @_;
	sql("CREATE DATABASE $database");
	$node->command_ok($database eq 'by_psql' ? ['psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($database), '-f', "$dumps/$dump.sql"]
		: ['pg_restore', '--exit-on-error', $database eq 'in_parallel' ? ('-j', 4) : (), '-d', $node->connstr($database), "$dumps/$dump"],
		"restore $dump into $database");
}

my $model = '00000000-0000-0000-0000-000000000001';
my $done = '00000000-0000-0000-0000-000000000002';
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql(qq{SELECT benchorch.register_model('m', '$model'), benchorch.register_model('done', '$done')});
sql(q{SELECT benchorch.create_template('t', '{"hardware": ["g5.xlarge", "p5.48xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"dimensions": {"precision": {"kind": "engine", "values": ["bf16", "fp8"]}}, "limits": {"crash_delays_s": [3600]}}')});
sql("SELECT benchorch.populate_matrix('$model', template => 't'), benchorch.populate_matrix('$done', template => 't')");
sql("UPDATE benchorch.hardware_configs SET price_per_hour = 12.5 WHERE name = 'g5.xlarge'");
sql(q{SELECT benchorch.register_worker('w', 'g5.xlarge', '{vLLM}')});
dump_to('early');

# something of everything: 4 running without worker, some with; delayed, failed, skipped, completed, archived, a finalized model
sql('CREATE TABLE held (n serial, kind text, config_id bigint, claim_id bigint)');
sub take { my ($kind, $n, $more) = @_; sql("INSERT INTO held (kind, config_id, claim_id) SELECT '$kind', config_id, claim_id FROM benchorch.claim_batch($n, model_version_id => '$model' $more)"); }
take('completed', 6, '');
take('archived', 3, '');
take('delayed', 2, '');
take('failed', 1, '');
take('running', 4, '');
take('worked', 3, ', worker_id => (SELECT id FROM benchorch.workers)');
sql(q{SELECT benchorch.complete(config_id, claim_id, '{"output_throughput": 3, "total_token_throughput": 9, "request_throughput": 1}') FROM held WHERE kind IN ('completed', 'archived')});
sql(q{SELECT benchorch.update_status(config_id, 'failed', claim_id => claim_id, outcome => 'crash') FROM held WHERE kind = 'delayed'});
sql(q{SELECT benchorch.update_status(config_id, 'failed', 'cannot', claim_id, 'unsupported') FROM held WHERE kind = 'failed'});
sql(q{SELECT benchorch.start(config_id, claim_id) FROM held WHERE kind = 'worked' ORDER BY n LIMIT 1});
sql("SELECT benchorch.update_status(id, 'skipped', 'not wanted') FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'pending' ORDER BY id DESC LIMIT 2");
sql(q{DELETE FROM benchorch.benchmark_configs WHERE id IN (SELECT config_id FROM held WHERE kind = 'archived')});
sql("SELECT benchorch.cancel('$done')");
sql('SELECT benchorch.reset_stale()');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'before: the invariants hold');

my $picture = q{SELECT right(model_version_id::text, 1), status, count(*), sum(retry_count), sum(attempt), sum(priority), count(completed_at), count(error_message)
	FROM benchorch.benchmark_configs GROUP BY 1, 2 UNION ALL SELECT 'archived', status, count(*), sum(retry_count), sum(attempt), sum(priority), count(completed_at), count(error_message)
	FROM benchorch.archived_configs GROUP BY 2 ORDER BY 1, 2};
my $results = q{SELECT count(*), sum(output_tokens_per_s), count(raw), count(parsed) FROM benchorch.benchmark_results UNION ALL
	SELECT count(*), sum(output_tokens_per_s), count(raw), count(parsed) FROM benchorch.archived_results UNION ALL
	SELECT count(*), sum(attempt), count(*) FILTER (WHERE blamed), count(DISTINCT outcome) FROM benchorch.attempts};
my $progress = "SELECT benchorch.progress('$model') - 'eta' - 'unclaimable', benchorch.progress('$done') - 'eta' - 'unclaimable'";
my $catalog = q{SELECT name, price_per_hour FROM benchorch.hardware_configs UNION ALL SELECT name, 0 FROM benchorch.frameworks UNION ALL SELECT name, 1 FROM benchorch.workers
	UNION ALL SELECT adapter || metric || preference, scale FROM benchorch.adapters ORDER BY 1};
my $finalized = 'SELECT name, finalized_at IS NOT NULL FROM benchorch.model_versions ORDER BY 1';
my %before = map { $_ => sql($_) } $picture, $results, $progress, $catalog, $finalized;
my $last = sql('SELECT max(id) FROM (SELECT id FROM benchorch.benchmark_configs UNION ALL SELECT id FROM benchorch.archived_configs) AS c');
my %held;
push @{ $held{$_->[0]} }, $_ foreach map { [split /\|/] } split /\n/, sql('SELECT kind, config_id, claim_id FROM held');
sql('DROP TABLE held');
dump_to('late');
$node->command_ok(['pg_dump', '-f', "$dumps/late.sql", $node->connstr('postgres')], 'dump as plain SQL');

foreach my $database ('by_pg_restore', 'in_parallel', 'by_psql')
{
	restore('late', $database);
	is(sql($picture, $database), $before{$picture}, "$database: the same configs");
	is(sql($results, $database), $before{$results}, "$database: the same results and attempts");
	is(sql($progress, $database), $before{$progress}, "$database: the same progress");
	is(sql($catalog, $database), $before{$catalog}, "$database: the same catalog");
	is(sql($finalized, $database), $before{$finalized}, "$database: what was finalized still is");
	is(sql('SELECT * FROM benchorch.check_invariants()', $database), '', "$database: the invariants hold");

	# what was running counts as expired: started ones are blamed, and all are ready at once
	is(sql('SELECT benchorch.reset_stale()', $database), @{ $held{running} } + @{ $held{worked} }, "$database: what was running is taken back");
	is(sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'running'}, $database), '0', "$database: all of it");
	is(sql(q{SELECT count(*) FROM benchorch.attempts WHERE outcome = 'lost' AND blamed}, $database), '1', "$database: blamed is what had been started");
	is(sqlstate("SELECT benchorch.complete($_->[1], $_->[2], '{}')", $database), 'BO001', "$database: an old token is refused ($_->[0])")
		foreach $held{running}[0], $held{worked}[0];
	is(sql(qq{SELECT accepted FROM benchorch.hand_in($held{running}[1][1], $held{running}[1][2], 'ok', '{"x": 1}')}, $database), 'f', "$database: its result is kept as unaccepted");
	# handed in before the dump: the answer is the same
	is(sql(qq{SELECT accepted, status FROM benchorch.hand_in($held{$_}[0][1], $held{$_}[0][2], 'ok', '{"x": 1}')}, $database), 't|completed', "$database: repeated, the answer is the same ($_)")
		foreach 'completed', 'archived';
	is(sql('SELECT * FROM benchorch.check_invariants()', $database), '', "$database: the invariants hold after the sweep");

	# work goes on: everything that is pending can be claimed, the delayed ones too, under new tokens
	sql('UPDATE benchorch.delayed_configs SET due_at = clock_timestamp()', $database);
	my $pending = sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'pending'}, $database);
	my $old = join ',', map { $_->[2] } map { @$_ } values %held;
	is(sql("SELECT count(*), count(*) FILTER (WHERE claim_id IN ($old)) FROM benchorch.claim_batch(500, 10000)", $database), "$pending|0", "$database: all $pending pending ones are claimed, under new tokens");
	sql(q{SELECT benchorch.update_status(id, 'completed') FROM benchorch.benchmark_configs WHERE status = 'running'; SELECT benchorch.reset_stale()}, $database);
	is(sql("SELECT finalized_at IS NOT NULL FROM benchorch.model_versions WHERE id = '$model'", $database), 't', "$database: the model is ranked at its end");
	is(sql("SELECT created, existing FROM benchorch.populate_matrix('$model', template => 't')", $database), '0|48', "$database: its cells are known, archived ones too");
	cmp_ok(sql("INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
		VALUES ('$model', 1, 1, 'new', 1, 1) RETURNING id", $database), '>', $last, "$database: ids go on");
	is(sql(q{SELECT benchorch.register_worker('w', 'g5.xlarge', '{vLLM}') = (SELECT id FROM benchorch.workers)}, $database), 't', "$database: the worker is the same");
	is(sql('SELECT * FROM benchorch.check_invariants()', $database), '', "$database: the invariants hold at the end");
}

# claims take expired ones back by themselves, without any sweep
restore('late', 'unswept');
my $open = sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status IN ('pending', 'running') AND id NOT IN (SELECT config_id FROM benchorch.delayed_configs)}, 'unswept');
is(sql(q{SELECT count(*) + (SELECT count(*) FROM benchorch.claim_batch(500, 10000)) FROM benchorch.claim_batch(500, 10000)}, 'unswept'), $open, 'claims take back what a dump held');
is(sqlstate("SELECT benchorch.complete($held{running}[0][1], $held{running}[0][2], '{}')", 'unswept'), 'BO001', 'and the old token is refused');
is(sql('SELECT * FROM benchorch.check_invariants()', 'unswept'), '', 'and the invariants hold');

# an older dump: tokens that were given out after it are unknown there, and are not given out again
restore('early', 'early');
is(sql('SELECT * FROM benchorch.check_invariants()', 'early'), '', 'an older dump: the invariants hold');
my $tokens = join ',', map { $_->[2] } map { @$_ } values %held;
is(sqlstate("SELECT benchorch.complete($held{running}[0][1], $held{running}[0][2], '{}')", 'early'), 'BO001', 'a token of later is refused');
is(sql("SELECT count(*), count(*) FILTER (WHERE claim_id IN ($tokens)) FROM generate_series(1, 20) AS n, LATERAL (SELECT * FROM benchorch.claim_batch(1 + 0 * n)) AS c", 'early'), '20|0', 'no token comes again');
is(sqlstate("SELECT benchorch.complete($held{running}[0][1], $held{running}[0][2], '{}')", 'early'), 'BO001', 'nor does it hold what was claimed anew');

$node->stop;
done_testing();
