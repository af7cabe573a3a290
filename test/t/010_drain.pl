# Sixteen sessions drain 100,000 configs at once: without worker, as eight
# workers, and both at the same time.  Every claim is noted in the transaction
# that makes it; each config must have been handed out exactly once.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 40\nfsync = off\nmax_wal_size = 4GB\nautovacuum_naptime = 5s\nlog_statement = none\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql('CREATE TABLE drained (config_id bigint, claim_id bigint, session int)');
# 4 machine types, 2 workers each
my @hardware = ('g5.xlarge', 'g6.xlarge', 'p4d.24xlarge', 'p5.48xlarge');

# A model version with 4 x 2 x 5 x 5 x 5 cells, each so often.
sub matrix
{
	my ($repeats) = @_;
	my $names = join ',', map { qq("$_") } @hardware;

	sql(qq{SELECT benchorch.create_template('t$repeats', '{"hardware": [$names], "frameworks": ["vLLM", "SGLang"],
		"batch_sizes": [1, 2, 3, 4, 5], "sequence_lengths": [128, 256, 512, 1024, 2048], "repeats": $repeats}')});
	my $model = sql(q{SELECT benchorch.register_model('drain')});
	is(sql("SELECT created FROM benchorch.populate_matrix('$model', template => 't$repeats')"), 1000 * $repeats,
		1000 * $repeats . ' configs');
	return $model;
}

my %claim = (
	'without worker' => 'claim_batch(100)',
	'as workers' => q{claim_batch(100, worker_id => (SELECT id FROM benchorch.workers WHERE name = 'w' || :client_id % 8))});

sub script
{
	my ($kind) = @_;
	my $path = "$PostgreSQL::Test::Utils::tmp_check/" . ($kind =~ s/ /_/gr) . '.sql';

	open my $file, '>', $path or die "$path: $!";
	print $file <<"END";
BEGIN;
SELECT coalesce(array_agg(config_id), '{}') AS configs, coalesce(array_agg(claim_id), '{}') AS claims FROM benchorch.$claim{$kind} \\gset
INSERT INTO drained SELECT u.*, :client_id FROM unnest(':configs'::bigint[], ':claims'::bigint[]) AS u;
COMMIT;
SELECT count(sqlstate) FROM benchorch.update_many(':configs', ':claims', 'completed');
END
	close $file;
	return $path;
}

# Sixteen sessions at it until nothing is pending.
sub drain
{
	my ($model, $what, @kinds) = @_;
	my $rounds = 0;

	sql('TRUNCATE drained');
	while (sql("SELECT benchorch.progress('$model') ->> 'pending'") > 0 && $rounds++ < 30)
	{
		my @command = ('pgbench', '-n', '-c', 16, '-j', 2, '-t', 40, (map { ('-f', script($_)) } @kinds), $node->connstr('postgres'));
		my ($out, $err);

		if (!IPC::Run::run(\@command, '>', \$out, '2>', \$err))
		{
			fail("$what: a session was refused: $err");
			last;
		}
	}
	my $total = sql("SELECT benchorch.progress('$model') ->> 'total'");
	is(sql(q{SELECT count(*) || ' ' || count(DISTINCT config_id) FROM drained}), "$total $total",
		"$what: each of the $total configs was handed out once");
	cmp_ok(sql('SELECT count(DISTINCT session) FROM drained'), '>=', 12, "$what: to many sessions");
	is(sql("SELECT benchorch.progress('$model') - 'eta' - 'unclaimable'"), sql(qq{SELECT jsonb_build_object('total', $total, 'pending', 0, 'running', 0,
		'completed', $total, 'failed', 0, 'skipped', 0, 'cancelled', 0, 'progress_pct', 100.00, 'settled_pct', 100.00)}), "$what: progress says so");
	is(sql('SELECT count(*) FROM drained d JOIN benchorch.benchmark_configs c ON c.id = d.config_id WHERE c.claim_id <> d.claim_id OR c.attempt <> 1'), '0',
		"$what: and each was run under the claim that was told");
	is(sql('SELECT * FROM benchorch.check_invariants()'), '', "$what: the invariants hold");
	is(sql(q{SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'}), '0', "$what: nobody waited in a circle");
	is(sql(q{SELECT benchorch.reset_stale(0)}), '0', "$what: nothing is left to reset");
	is(sql("SELECT count(*) FROM benchorch.finalizations WHERE model_version_id = '$model'"), '1', "$what: the model was ranked once");
}

drain(matrix(100), 'without worker', 'without worker');
foreach my $i (0 .. 7)
{
	sql("SELECT benchorch.register_worker('w$i', '$hardware[$i % 4]', '{vLLM, SGLang}')");
}
drain(matrix(99), 'as workers', 'as workers');
# small chunks, so that the two kinds of claim meet often
sql('ALTER DATABASE postgres SET benchorch.chunk_size = 7');
drain(matrix(20), 'both kinds', 'without worker', 'as workers');

$node->stop;
done_testing();
