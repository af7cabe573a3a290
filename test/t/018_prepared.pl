# A claim in a transaction that is only prepared: nobody else gets its configs,
# and when it is rolled back, by whatever session, everybody can, the session
# that has remembered its chunks as used up first of all.  Who looks meanwhile
# waits, up to its lock_timeout, where a worker's claim is prepared: it may give
# back what it has.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib $FindBin::RealBin;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Session;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "max_prepared_transactions = 4\nautovacuum = off\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
sql(q{SELECT benchorch.create_template('one', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"]}')});
my $worker = sql(q{SELECT benchorch.register_worker('w', 'g5.xlarge', '{vLLM}')});

my %worker_waits = ('without worker' => 0, 'by a worker' => '55P03');

sub invariants { is(sql('SELECT count(*) FROM benchorch.check_invariants()'), '0', "$_[0]: every invariant holds"); }

foreach my $kind ([ 'without worker', 'claim_batch(%d)' ], [ 'by a worker', "claim_batch(%d, worker_id => '$worker')" ])
{
	my ($what, $call) = @$kind;
	my ($model, $later) = map { sql("SELECT benchorch.register_model('$_ $what')") } 'first', 'later';
	sql("SELECT benchorch.populate_matrix('$_', template => 'one')") foreach $model, $later;
	sql("SELECT benchorch.reprioritize('$model', -1000)");
	my ($claimer, $other) = (Session->new($node->connstr('postgres')), Session->new($node->connstr('postgres')));
	# how many of the first model a claim of so many gets
	my $take = sub {
		my $n = $_[0]->do("SELECT count(*) FROM benchorch." . sprintf($call, $_[1]) . " WHERE model_version_id = '$model'");
		return $n->{sqlstate} || $n->{rows}[0][0];
	};

	$claimer->do('BEGIN');
	is($take->($claimer, 60), 60, "$what: a claim takes all 60");
	is($take->($claimer, 1), 0, "$what: the next one sees that they are used up");
	is($claimer->do(q{PREPARE TRANSACTION 'held'})->{sqlstate}, '', "$what: it is prepared");
	$claimer->do(q{SET lock_timeout = '100ms'});
	is($take->($claimer, 1), $worker_waits{$what}, "$what: meanwhile the same session gets nothing");
	is($other->do(q{ROLLBACK PREPARED 'held'})->{sqlstate}, '', "$what: another session rolls it back");
	invariants("$what, rolled back");

	$claimer->do('BEGIN');
	is($take->($claimer, 60), 60, "$what: the session that had used them up finds them again");
	is($claimer->do(q{PREPARE TRANSACTION 'held'})->{sqlstate}, '', "$what: prepared once more");
	is($other->do(q{COMMIT PREPARED 'held'})->{sqlstate}, '', "$what: committed by the other session");
	is($take->($other, 1), 0, "$what: that one finds nothing");
	invariants("$what, committed");
	is(sql("SELECT count(*) FROM benchorch.benchmark_configs AS c, LATERAL benchorch.update_status(c.id, 'completed', claim_id => c.claim_id) AS s"
		. " WHERE c.model_version_id = '$model' AND s = 'completed'"), 60, "$what: its tokens complete them");
	invariants("$what, completed");
	$_->close foreach $claimer, $other;
}

$node->stop;
done_testing();
