# benchorch-worker through PgBouncer's transaction pooling: more workers than
# server connections, and a pooler that is restarted under them.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $worker = abs_path("$FindBin::Bin/../../build/benchorch-worker");
die "build/benchorch-worker is not there; make worker builds it\n" unless $worker && -x $worker;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin', '/usr/local/sbin';
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;
plan skip_all => 'pgbouncer does not run as root' if $> == 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}'),
	benchorch.register_framework('quick', '{"command": ["echo", "{{\"seed\": {seed}}}"]}'),
	benchorch.create_template('many', '{"hardware": ["box"], "workloads": ["chatbot"], "batch_sizes": [1],
		"sequence_lengths": [1024], "repeats": 150}')});
my $model = sql(q{SELECT benchorch.register_model('model')});
sql("SELECT benchorch.populate_matrix('$model', template => 'many')");

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my ($server_host, $server_port, $user) = ($node->host, $node->port, scalar getpwuid $>);
append_to_file("$dir/users", qq{"$user" ""\n});
append_to_file("$dir/pgbouncer.ini", <<"EOT");
[databases]
pooled = host=$server_host port=$server_port dbname=postgres
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $server_host
auth_type = trust
auth_file = $dir/users
pool_mode = transaction
default_pool_size = 2
server_round_robin = 1
logfile = $dir/pgbouncer.log
EOT

sub start_pooler
{
	my $handle = IPC::Run::start([ $pgbouncer, '-q', "$dir/pgbouncer.ini" ], '<', \undef, '>', \my $out, '2>&1');
	my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
	until (system("psql -XAtq 'host=$server_host port=$port dbname=pooled user=$user' -c 'SELECT' >/dev/null 2>&1") == 0)
	{
		die "pgbouncer does not start\n" if !$tries--;
		select undef, undef, undef, 0.1;
	}
	return $handle;
}

my $pooler = start_pooler();
my @workers = map
{
	my @command = ($worker, '--db', "host=$server_host port=$port dbname=pooled user=$user", '--hardware', 'box', '--framework',
		'quick', '--batch-size', '5', '--heartbeat', '0.2', '--until-settled');
	IPC::Run::start(\@command, '<', \undef, '>', \my $out, '2>', "$PostgreSQL::Test::Utils::log_path/pooled_$_.log",
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
} 1 .. 4;

$node->poll_query_until('postgres', q{SELECT count(*) > 10 FROM benchorch.benchmark_results});
$pooler->signal('KILL');
$pooler->finish;
unlink glob "$server_host/.s.PGSQL.$port*";
$pooler = start_pooler();

foreach my $handle (@workers)
{
	$handle->finish;
	is($handle->{KIDS}[0]{RESULT}, 0, 'a worker behind the pooler ends well');
}
is(sql(q{SELECT string_agg(DISTINCT status, ',') || ' ' || count(*) FROM benchorch.benchmark_configs}), 'completed 150',
	'every config is completed');
is(sql(q{SELECT count(DISTINCT parsed ->> 'seed') FROM benchorch.benchmark_results WHERE accepted}), '150',
	'once each, and each with a seed of its own');
is(scalar(grep { slurp_file("$PostgreSQL::Test::Utils::log_path/pooled_$_.log") =~ /"event":"presence_off"/ } 1 .. 4), 4,
	'each notices the pooler, and leaves presence off');
is(sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'}), '0', 'without a lock left on a connection of the pool');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$pooler->signal('INT');
$pooler->finish;
$node->stop;
done_testing();
