# pg_cron lives in another database, or is not loaded at all: scheduling is
# refused, and the hint says the next step.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $library = `$config --pkglibdir`);
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

sub refusal
{
	my ($call, $database) = @_;
	my ($code, undef, $error) = $node->psql($database, "\\set VERBOSITY verbose\nSELECT benchorch.$call");
	isnt($code, 0, "$call is refused in $database");
	return $error;
}

$node->safe_psql('postgres', 'CREATE EXTENSION benchorch');
like(refusal('schedule_maintenance()', 'postgres'), qr/55000.*pg_cron.*HINT: .*shared_preload_libraries/s, 'not loaded: the hint says how to load it');
like(refusal('unschedule_maintenance()', 'postgres'), qr/55000.*pg_cron/s, 'nor is there a job to remove');

SKIP:
{
	skip "pg_cron is not installed (postgresql-NN-cron)", 7 unless -f "$library/pg_cron.so";
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'elsewhere'\ncron.use_background_workers = on\n");
	$node->restart;
	$node->safe_psql('postgres', 'CREATE DATABASE elsewhere');
	$node->safe_psql('elsewhere', 'CREATE EXTENSION pg_cron');
	my $error = refusal('schedule_maintenance()', 'postgres');
	like($error, qr/55000/, 'in another database: the same state');
	like($error, qr/elsewhere/, 'the message names the database');
	like($error, qr/HINT: .*cron\.database_name/s, 'the hint names the setting');
	is($node->safe_psql('elsewhere', 'SELECT count(*) FROM cron.job'), '0', 'nothing was scheduled');

	$node->safe_psql('elsewhere', 'CREATE EXTENSION benchorch');
	like(refusal(q{schedule_maintenance('every now and then')}, 'elsewhere'), qr/invalid schedule/, 'a schedule that is none is refused');
	is($node->safe_psql('elsewhere', 'SELECT count(*) FROM cron.job'), '0', 'nothing was scheduled by that');
}

$node->stop;
done_testing();
