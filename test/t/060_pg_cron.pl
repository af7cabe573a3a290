# pg_cron runs the maintenance for real: an expired claim is reset by nothing else.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $config = $ENV{PG_CONFIG} || 'pg_config';
chomp(my $library = `$config --pkglibdir`);
plan skip_all => "pg_cron is not installed (postgresql-NN-cron)" unless -f "$library/pg_cron.so";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'postgres'\n"
	. "cron.use_background_workers = on\nmax_worker_processes = 20\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sql('CREATE EXTENSION benchorch');
my ($code, undef, $error) = $node->psql('postgres', q{\set VERBOSITY verbose
	SELECT benchorch.schedule_maintenance()});
like($error, qr/55000.*pg_cron is not installed in this database/s, 'scheduling without pg_cron in the database is refused');
like($error, qr/HINT: .*CREATE EXTENSION pg_cron/, 'and the hint says what to do');

sql('CREATE EXTENSION pg_cron');
my $model = '00000000-0000-0000-0000-000000000001';
sql("SELECT benchorch.seed_reference_data()");
sql("SELECT benchorch.register_model('m', '$model'); SELECT created FROM benchorch.populate_matrix('$model')");
my $job = sql(q{SELECT benchorch.schedule_maintenance('* * * * *', 0)});
is(sql(q{SELECT benchorch.schedule_maintenance('* * * * *', 0)}), $job, 'scheduling again changes the job that is there');
is(sql('SELECT schedule, command, active FROM cron.job'), '* * * * *|SELECT benchorch.reset_stale(0)|t', 'one job');

sql('SELECT FROM benchorch.claim_batch(7)');
is(sql(q{SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'running'}), '7', 'seven configs are claimed');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM benchorch.benchmark_configs WHERE status = 'running'})
	or die 'pg_cron has not reset them';
is(sql(q{SELECT count(*) || ' ' || sum(retry_count) FROM benchorch.benchmark_configs WHERE status = 'pending'}), '1800 7',
	'within a minute pg_cron has put them back');
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'})
	or die 'no run of the job is on record';
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

is(sql('SELECT benchorch.unschedule_maintenance()'), 't', 'unschedule_maintenance removes the job');
is(sql('SELECT count(*) FROM cron.job'), '0', 'nothing of it is left');
is(sql('SELECT benchorch.unschedule_maintenance()'), 'f', 'once');

$node->stop;
done_testing();
