# The server dies under load, again and again: whatever was acknowledged is
# there, and a claim that was forgotten is refused.  The sessions do not flush
# (synchronous_commit = off) and the WAL writer sleeps: completions are flushed
# because the extension does it; the environment may ask for more stops: BENCHORCH_STOPS (5).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "wal_writer_delay = 10s\nwal_writer_flush_after = 1GB\nautovacuum = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

my $model = '00000000-0000-0000-0000-000000000001';
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql("SELECT benchorch.register_model('m', '$model')");
my $stops = $ENV{BENCHORCH_STOPS} // 5;
sql(qq{SELECT benchorch.create_template('t', '{"repeats": $stops}')});
is(sql("SELECT created FROM benchorch.populate_matrix('$model', template => 't')"), 1800 * $stops, 'a matrix');

# Sessions that claim one config and hand it in or complete it, and say what was acknowledged: "ack CONFIG CLAIM".
my $calls = "$PostgreSQL::Test::Utils::tmp_check/calls.sql";
my @answer = (
	q{SELECT 'ack', :c, :k FROM benchorch.hand_in(:c, :k, 'ok', '{"x": 1}') WHERE accepted;},
	q{SELECT 'ack', :c, :k WHERE benchorch.complete(:c, :k, '{"x": 1}') > 0;},
	q{SELECT 'ack', :c, :k FROM benchorch.complete_many(ARRAY[:c], ARRAY[:k], ARRAY['{"x": 1}']) WHERE sqlstate IS NULL;},
	q{SELECT 'ack', :c, :k FROM benchorch.hand_in_many(ARRAY[:c], ARRAY[:k], '{ok}', ARRAY['{"x": 1}'::bytea]) WHERE sqlstate IS NULL;},
	q{SELECT 'ack', :c, :k WHERE benchorch.update_status(:c, 'completed', claim_id => :k) = 'completed';},
	q{SELECT 'ack', :c, :k FROM benchorch.update_many(ARRAY[:c], ARRAY[:k], 'completed') WHERE sqlstate IS NULL;});
# and some that complete one with the claim of the next
my $next = "\\set done 'ack ' :c ' ' :k\nSELECT config_id AS c, claim_id AS k FROM benchorch.claim_next(:c, :k) \\gset\n\\if :ERROR\n\\else\n\\echo :done\n\\endif\n";
append_to_file($calls, "SELECT config_id AS c, claim_id AS k FROM benchorch.claim_batch(1) \\gset\n" . ($next x ($_ % 4)) . "$answer[$_ % @answer]\n") foreach 1 .. 3000;

my %acknowledged;
my $twice = 0;
foreach my $round (1 .. $stops)
{
	my @sessions;

	foreach my $i (1 .. 4)
	{
		my %session = (out => '');
		local $ENV{PGOPTIONS} = '-c synchronous_commit=off';

		$session{handle} = IPC::Run::start(['psql', '-XAtq', '-F', ' ', '-d', $node->connstr('postgres'), '-f', $calls],
			'<', \undef, '>', \$session{out}, '2>', \$session{err});
		push @sessions, \%session;
	}
	# until each has been at it for a while
	my $deadline = time + 60;
	until (@sessions == grep { ($_->{out} =~ tr/\n//) >= 20 * (1 + $round % 5) } @sessions)
	{
		$_->{handle}->pump_nb foreach @sessions;
		die 'no acknowledgements' if time > $deadline;
		select undef, undef, undef, 0.01;
	}
	$node->stop('immediate');
	foreach my $session (@sessions)
	{
		$session->{handle}->finish;
		while ($session->{out} =~ /^ack (\d+) (\d+)$/mg)
		{
			$twice++ if exists $acknowledged{$1};
			$acknowledged{$1} = $2;
		}
	}
	$node->start;
	my $pairs = join ',', map { "($_,$acknowledged{$_})" } keys %acknowledged;
	is(sql("SELECT count(*) FROM (VALUES $pairs) AS a (config_id, claim_id) LEFT JOIN benchorch.benchmark_configs c ON c.id = a.config_id
		WHERE c.status IS DISTINCT FROM 'completed' OR c.claim_id IS DISTINCT FROM a.claim_id"), '0',
		"crash $round: the " . keys(%acknowledged) . ' completions that were acknowledged are there');
	is(sql('SELECT * FROM benchorch.check_invariants()'), '', "crash $round: the invariants hold");
}
is($twice, 0, 'no config was completed twice');
is(sql(q{SELECT count(*) FROM (SELECT FROM benchorch.benchmark_results WHERE accepted GROUP BY config_id HAVING count(*) > 1) AS d}), '0', 'no second result');
# every claim of a crashed session can be taken back
sql('SELECT benchorch.reset_stale(0)');
is(sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'running'}), '0', 'what the dead sessions held is taken back');

# A claim of the last instant is forgotten: its token is refused, and is not used again.
my ($config, $old, $lost);
foreach my $try (1 .. 5)
{
	($config, $old) = split /\|/, sql(q{BEGIN; SET LOCAL synchronous_commit = off;
		SELECT config_id, claim_id FROM benchorch.claim_batch(1); COMMIT});
	$node->stop('immediate');
	$node->start;
	$lost = sql("SELECT status FROM benchorch.benchmark_configs WHERE id = $config") eq 'pending';
	last if $lost;
}
ok($lost, 'an unflushed claim is forgotten by a crash');
my $new = sql("SELECT claim_id FROM benchorch.claim_batch(1)");
isnt($new, $old, 'its token is not given out again');
is(sql("SELECT benchorch.reset_stale(0)"), '1', 'the next claim stood');
$new = sql("UPDATE benchorch.benchmark_configs SET priority = -1 WHERE id = $config;
	SELECT claim_id FROM benchorch.claim_batch(1, model_version_id => '$model') WHERE config_id = $config");
isnt($new, '', 'the config is claimed again');
isnt($new, $old, 'under another token');
foreach my $call ("complete($config, $old, '{}')", "update_status($config, 'completed', claim_id => $old)", "start($config, $old)")
{
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT benchorch.$call");
	like($error, qr/BO001/, "the old token is refused: $call");
}
is(sql(qq{SELECT accepted, status FROM benchorch.hand_in($config, $old, 'ok', '{"late": 1}')}), 'f|running', 'its result is kept as unaccepted');
is(sql("SELECT status, claim_id = $new FROM benchorch.benchmark_configs WHERE id = $config"), 'running|t', 'and the newer claim stands');
is(sql(qq{SELECT accepted, status FROM benchorch.hand_in($config, $new, 'ok', '{"x": 1}')}), 't|completed', 'and completes');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
