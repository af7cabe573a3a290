# benchorch-worker and the protocol served, against a server and a client that
# behave like an inference server's (test/served): slow start, ready check,
# warm-up, prefix cache, death in the middle, children that outlive it.
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
my ($server, $client) = map { abs_path("$FindBin::Bin/../served/$_") } qw(server client);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch; SELECT benchorch.seed_outcome_rules()');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

my $home = $ENV{HOME} = abs_path(PostgreSQL::Test::Utils::tempdir);
my $work_dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $mark = "benchorch-test-$$";	# in the environment of whatever is started

# A framework, and a model version with a config for each prompt.  %spec changes the framework, @server its server.
sub model_for
{
	my ($name, $prompts, $server_options, %spec) = @_;
	my $list = join ', ', map { qq("$_") } @$prompts;
	my $options = join '', map { qq(, "$_") } @$server_options;
	my %framework = (
		protocol => '"served"',
		command => qq(["$client", "bench", "{port}", "{params.prompt}", "{result_file}"]),
		server_command => qq(["$server", "--port", "{port}", "--starts", "$home/$name.starts"$options]),
		ready_command => qq(["$client", "health", "{port}"]),
		reset_command => qq(["$client", "reset", "{port}"]),
		warmup_command => qq(["$client", "warm", "{port}"]),
		env => qq({"MARK": "$mark"}),
		%spec);
	my $json = '{' . join(', ', map { qq("$_": $framework{$_}) } sort keys %framework) . '}';

	sql(qq{SELECT benchorch.register_framework('$name', \$json\$$json\$json\$)});
	sql(qq{SELECT benchorch.create_template('$name', '{"hardware": ["box"], "frameworks": ["$name"], "workloads": ["chatbot"],
		"batch_sizes": [1, 2], "sequence_lengths": [1024],
		"dimensions": {"prompt": {"kind": "request", "values": [$list]}},
		"limits": {"deadline_s": 60, "crash_retries": 0, "timeout_retries": 0, "bad_output_retries": 0}}')});
	my $id = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$id', template => '$name')");
	return $id;
}

my $log;
sub work
{
	my ($framework, @options) = @_;
	my ($out, $err);
	$log = "$PostgreSQL::Test::Utils::log_path/$framework.json";
	unlink $log;
	IPC::Run::run([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', $framework, '--framework', $framework,
		'--work-dir', $work_dir, '--log', $log, '--until-settled', @options ], '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $? >> 8;
}
sub starts { return -e "$home/$_[0].starts" ? scalar(() = slurp_file("$home/$_[0].starts") =~ /start/g) : 0; }

sub outcomes
{
	return sql(qq{SELECT string_agg(o, E'\\n' ORDER BY o) FROM (SELECT (c.params ->> 'prompt') || c.batch_size || ': ' || coalesce((SELECT a.outcome || ' ' || a.message
		FROM benchorch.attempts a WHERE a.config_id = c.id ORDER BY a.id DESC LIMIT 1), c.status) AS o
		FROM benchorch.benchmark_configs c WHERE c.model_version_id = '$_[0]') s});
}
sub left_behind
{
	my @found;
	foreach my $file (glob '/proc/[0-9]*/environ')
	{
		open my $fh, '<', $file or next;
		local $/;
		my $environment = <$fh> // '';
		push @found, $file if $environment =~ /\bMARK=\Q$mark\E/;
	}
	return join ' ', @found;
}

# -------------------------------------------------------------- a good server

my $model = model_for('good', [ 'a', 'b', 'c' ], []);
is(work('good'), 0, 'a worker with a server');
is(outcomes($model), join("\n", map { "$_: completed" } qw(a1 a2 b1 b2 c1 c2)), 'completes every config');
is(starts('good'), 1, 'with one start of the server');
is(sql(qq{SELECT count(DISTINCT parsed ->> 'port') || ' ' || bool_or((parsed -> 'cached')::boolean) || ' ' || bool_or((parsed -> 'warm')::boolean)
	FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), '1 false false', 'on one port, the cache dropped before each config');
is(sql(qq{SELECT bool_or(position('served'::bytea IN log) > 0) FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), 'f',
	'the server\'s chatter is not kept where all went well');
is(left_behind(), '', 'nothing of the server is left at the end');

$model = model_for('unreset', [ 'a', 'b' ], [], reset_command => 'null');
is(work('unreset'), 0, 'without a reset_command');
is(sql(qq{SELECT bool_or((parsed -> 'cached')::boolean) || ' ' || bool_and((parsed -> 'warm')::boolean)
	FROM benchorch.benchmark_results WHERE model_version_id = '$model'}), 'true true', 'the cache is warm: the reset above is what emptied it');

# ------------------------------------------------------- death in the middle

$model = model_for('mortal', [ 'a', 'die', 'z' ], []);
is(work('mortal'), 0, 'a server that dies in the middle');
is(outcomes($model), "a1: completed\na2: completed\ndie1: crash the server: exit code 5: engine core died\n"
	. "die2: crash the server: exit code 5: engine core died\nz1: completed\nz2: completed", 'gives that attempt its outcome');
is(starts('mortal'), 3, 'and is started again for the next');
is(sql(qq{SELECT bool_and(position('[server]'::bytea IN a.log) > 0 AND position('engine core died'::bytea IN a.log) > 0)
	FROM benchorch.attempts a JOIN benchorch.benchmark_configs c ON c.id = a.config_id WHERE c.model_version_id = '$model'}), 't',
	'with the log of the server');
is(left_behind(), '', 'its orphans are gone');

$model = model_for('short', ['oom'], []);
is(work('short'), 0, 'a server that runs out of GPU memory');
like(outcomes($model), qr/^oom1: gpu_oom the server: exit code 1: torch.OutOfMemoryError: CUDA out of memory$/m, 'is told as such');

# --------------------------------------------------------- before it is ready

$model = model_for('large', [ 'a', 'b' ], ['--oom']);
is(work('large'), 0, 'a server that has no GPU memory for the model');
like(outcomes($model), qr/^\w+: gpu_oom before it was ready: exit code 1: torch.OutOfMemoryError/m, 'gives its config the outcome');

$model = model_for('unready', ['a'], ['--never-ready'], ready_timeout => '"1 second"');
is(work('unready'), 0, 'a server that does not become ready');
is(outcomes($model), "a1: timeout before it was ready: not finished after 1 s: loading\na2: timeout before it was ready: not finished after 1 s: loading",
	'has its ready_timeout');

$model = model_for('absent', ['a'], [], server_command => '["no-such-server", "{port}"]');
is(work('absent'), 0, 'a server that is not installed');
like(outcomes($model), qr/node_fault command not found: no-such-server/, 'is the machine\'s fault');

$model = model_for('unresettable', ['a'], [], reset_command => '["false"]');
is(work('unresettable'), 0, 'a reset_command that fails');
like(outcomes($model), qr/^a1: crash reset_command: exit code 1$/m, 'fails the config: its result would be wrong');

# slow start: the deadline of a config does not count it
$model = model_for('slow', ['a'], [ '--load-seconds', '2.5' ]);
sql(qq{SELECT benchorch.create_template('slow', '{"limits": {"deadline_s": 2}}')});
is(work('slow'), 0, 'a server that loads for longer than a config may take');
is(outcomes($model), "a1: completed\na2: completed", 'takes no time from the config');

# ----------------------------------------------------------------- SIGTERM

$model = model_for('stopped', ['a'], [ '--load-seconds', '1000' ]);
my $handle = IPC::Run::start([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', 'stopped', '--framework',
	'stopped', '--work-dir', $work_dir ], '<', \undef, '>', \my $out, '2>', \my $err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $tries = 20 * $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.05 while !starts('stopped') && $tries--;
$handle->signal('TERM');
$handle->finish;
is($handle->{KIDS}[0]{RESULT} >> 8, 143, 'SIGTERM while a server loads ends the worker');
is(sql(qq{SELECT string_agg(DISTINCT status, ',') || sum(retry_count) FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'pending0',
	'everything is pending again, at no cost');
is(left_behind(), '', 'no process is left');
is(join(' ', glob "$work_dir/*"), '', 'no file is left');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
