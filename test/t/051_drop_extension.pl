# DROP EXTENSION leaves the database as it was before CREATE EXTENSION, also
# after use; what pg_cron has been told stays until unschedule_maintenance.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

# Everything that the catalogs hold, by name, so that a difference tells what is left.
my @catalogs = split ' ', sql(q{
	SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'oid'
	WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
	AND c.relname NOT IN ('pg_largeobject_metadata', 'pg_statistic_ext')});

sub everything
{
	my $list = join ' UNION ALL ', map {
		"SELECT type || ' ' || identity FROM pg_catalog.$_ AS o, pg_identify_object('pg_catalog.$_'::regclass, o.oid, 0)" } @catalogs;
	return sql("SELECT * FROM ($list) AS o (name) ORDER BY name COLLATE \"C\"");
}

sub rows { return join ', ', map { "$_ " . sql("SELECT count(*) FROM pg_catalog.$_") } qw(pg_depend pg_class pg_proc pg_namespace pg_description pg_init_privs); }

cmp_ok(scalar @catalogs, '>', 20, 'catalogs to compare');
my ($before, $rows) = (everything(), rows());
sql('CREATE EXTENSION benchorch');
isnt(rows(), $rows, 'CREATE EXTENSION makes something');
sql(q{SELECT benchorch.seed_reference_data()});
sql(q{SELECT benchorch.register_model('m', '00000000-0000-0000-0000-000000000001');
	SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
	SELECT benchorch.complete(config_id, claim_id, '{"output_tokens_per_s": 1}') FROM benchorch.claim_batch(10);
	SELECT benchorch.finalize('00000000-0000-0000-0000-000000000001', true)});
sql('DROP EXTENSION benchorch');
is(rows(), $rows, 'DROP EXTENSION takes all of it away');
is(everything(), $before, 'object by object');

$node->stop;
done_testing();
