# benchorch-worker and the stream protocol: the examples of docs/runner-protocol.md,
# one process for a lane, answers of every kind, and runners that die or hang.
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

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch; SELECT benchorch.seed_outcome_rules()');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

my $home = $ENV{HOME} = abs_path(PostgreSQL::Test::Utils::tempdir);
my $work_dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $mark = "benchorch-test-$$";	# in the environment of whatever is started

sub write_runner
{
	my ($name, $text) = @_;
	open my $file, '>', "$home/$name" or die "$home/$name: $!";
	print $file $text;
	close $file;
	chmod 0755, "$home/$name";
	return "$home/$name";
}

# A framework whose command is the runner, and a model version with configs of these batch sizes and dimensions.
sub model_for
{
	my ($name, $command, $sizes, $dimensions, %spec) = @_;
	$spec{env} //= qq({"MARK": "$mark"});
	my $arguments = join ', ', map { qq("$_") } @$command;
	my $more = join '', map { qq(, "$_": $spec{$_}) } sort keys %spec;
	my $list = join ', ', @$sizes;

	sql(qq{SELECT benchorch.register_framework('$name', \$json\${"protocol": "stream", "command": [$arguments]$more}\$json\$)});
	sql(qq{SELECT benchorch.create_template('$name', '{"hardware": ["box"], "frameworks": ["$name"], "workloads": ["chatbot"],
		"batch_sizes": [$list], "sequence_lengths": [1024], "dimensions": {$dimensions},
		"limits": {"deadline_s": 2, "crash_retries": 0, "timeout_retries": 0, "bad_output_retries": 0}}')});
	my $id = sql(q{SELECT benchorch.register_model('model', source => 'org/model')});
	sql("SELECT benchorch.populate_matrix('$id', template => '$name')");
	return $id;
}

# Runs a worker to the end; its exit code.
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

# What became of each config: "batch size: outcome message", in order.
sub outcomes
{
	return sql(qq{SELECT c.batch_size || ': ' || coalesce((SELECT a.outcome || ' ' || a.message FROM benchorch.attempts a
		WHERE a.config_id = c.id AND a.outcome <> 'preempted' ORDER BY a.id DESC LIMIT 1), c.status)
		FROM benchorch.benchmark_configs c WHERE c.model_version_id = '$_[0]' ORDER BY c.batch_size, c.id});
}
sub results
{
	return sql(qq{SELECT $_[1] FROM benchorch.benchmark_results r JOIN benchorch.benchmark_configs c ON c.id = r.config_id
		WHERE c.model_version_id = '$_[0]' AND accepted ORDER BY c.batch_size, c.id});
}
sub starts { return scalar(() = slurp_file($log) =~ /"event":"lane_start"/g); }

# ------------------------------------------------- the document's examples

my $document = slurp_file("$FindBin::Bin/../../docs/runner-protocol.md");
my %examples = $document =~ /^```(sh|python)\n(#!.*?)^```$/gms;
is(join(' ', sort keys %examples), 'python sh', 'the document has an example in sh and one in Python');
foreach my $language (sort keys %examples)
{
	my $model = model_for("example-$language", [ write_runner("example.$language", $examples{$language}) ], [ 1, 2, 4, 8 ], '');

	cmp_ok(scalar(() = $examples{$language} =~ /\n/g), '<=', 25, "$language: it is short");
	is(work("example-$language"), 0, "$language: the worker ends well");
	is(outcomes($model), join("\n", map { "$_: completed" } 1, 2, 4, 8), "$language: every config is completed");
	is(starts(), 1, "$language: by one process");
	is(results($model, q{(r.parsed ->> 'duration_s')::float8 > 0}), join("\n", ('t') x 4), "$language: with a result each");
}

# --------------------------------------------------- what a runner is sent

my $echo = write_runner('echo', <<'EOT');
#!/usr/bin/env python3
import json, os, sys
print("a library says hello", flush=True)
print('{"not": "a result, for there is no config"}')
print("ready 1", flush=True)
for line in sys.stdin:
    print("now", json.loads(line)["config_id"])
    print(json.dumps({"config": json.loads(line), "pid": os.getpid(), "argv": sys.argv[1:], "directory": os.getcwd(),
                      "environment": dict(os.environ)}), flush=True)
EOT
{
	local $ENV{PGPASSWORD} = 'secret';
	local $ENV{HF_HOME} = '/models';
	local $ENV{OTHER} = 'not passed';
	local $ENV{WANTED} = 'passed';
	my $model = model_for('echo', [ $echo, '--model', '{model}', '--tp', '{tensor_parallel}', '--dtype={params.precision:auto}',
			'{arguments.precision}', 'it\'s $HOME', '{params.none:}' ],
		[ 1, 2, 3 ], '"precision": {"kind": "engine", "values": ["bf16", "fp8"]}, "steps": {"kind": "request", "values": [5, 6]}',
		env => '{"FROM_FRAMEWORK": "yes", "MY_TOKEN": "hidden-value"}',
		details => '{"words": {"precision": {"bf16": "bfloat16"}}, "arguments": {"precision": {"bf16": [], "fp8": ["--quantization", "fp8"]}}}');
	is(work('echo', '--pass-env', 'WANTED'), 0, 'a runner that tells what it was sent');
	is(starts(), 2, 'has a process for each lane');
	is(sql(qq{SELECT count(DISTINCT r.parsed ->> 'pid') || ' ' || count(DISTINCT r.parsed ->> 'directory') || ' ' || count(*)
		FROM benchorch.benchmark_results r WHERE r.model_version_id = '$model'}), '2 2 12', 'which answers for all configs of the lane');
	is(sql(qq{SELECT DISTINCT r.parsed ->> 'argv' FROM benchorch.benchmark_results r WHERE r.model_version_id = '$model' ORDER BY 1}),
		qq(["--model", "org/model", "--tp", "1", "--dtype=bfloat16", "it's \$HOME", ""]\n)
		. qq(["--model", "org/model", "--tp", "1", "--dtype=fp8", "--quantization", "fp8", "it's \$HOME", ""]),
		'arguments are filled in one by one, in the words of the tool');
	is(sql(qq{SELECT bool_and(c.id = (s ->> 'config_id')::bigint AND c.batch_size = (s ->> 'batch_size')::int AND s ->> 'model' = 'org/model'
			AND s ->> 'model_name' = 'model' AND s ->> 'hardware' = 'box' AND s ->> 'workload' = 'chatbot' AND s ->> 'dataset' = 'random'
			AND (s ->> 'input_tokens')::int + (s ->> 'output_tokens')::int = c.sequence_length AND s ->> 'deadline_s' = '2'
			AND s ->> 'attempt' = '1' AND (s ->> 'num_prompts')::int = greatest(32, 10 * c.batch_size) AND s -> 'params' = c.params
			AND s ->> 'gpus' = '1' AND s ? 'seed' AND s ? 'architecture')
		FROM benchorch.benchmark_results r JOIN benchorch.benchmark_configs c ON c.id = r.config_id, LATERAL (SELECT r.parsed -> 'config') AS x (s)
		WHERE c.model_version_id = '$model'}), 't', 'a line has what the document says');
	my %environment = map { split /=/, $_, 2 } split /\n/, sql(qq{SELECT e.key || '=' || e.value FROM (SELECT parsed FROM benchorch.benchmark_results
		WHERE model_version_id = '$model' LIMIT 1) r, jsonb_each_text(r.parsed -> 'environment') e});
	is(join(' ', map { $_ . '=' . ($environment{$_} // '') } qw(BENCHORCH_STREAM FROM_FRAMEWORK HF_HOME WANTED OTHER)),
		'BENCHORCH_STREAM=1 FROM_FRAMEWORK=yes HF_HOME=/models WANTED=passed OTHER=', 'the environment is what is passed on');
	is(join(' ', grep { /^PG/ } keys %environment), '', 'and nothing of the database\'s');
	is(results($model, q{position('now '::bytea IN r.log) > 0 AND position('not a result'::bytea IN r.log) = 0}), join("\n", ('t') x 12),
		'each config has the log of its own time');
}

# ------------------------------------------------------ every kind of answer

my $moody = write_runner('moody', <<'EOT');
#!/usr/bin/env python3
import json, os, sys, time
print("ready 1", flush=True)
for line in sys.stdin:
    n = json.loads(line)["batch_size"]
    if n == 2:
        print("error unsupported not two", flush=True)
    elif n == 3:
        print("error nonsense", flush=True)
        print("error: this is log", flush=True)
        print('{"n": 3, "bad": NaN, "far": Infinity}', flush=True)
    elif n == 4:
        print("last words", file=sys.stderr)
        sys.exit(7)
    elif n == 6:
        print('{"half": ', flush=True)
    elif n == 8:
        time.sleep(1000)
    elif n == 10:
        print("CUDA out of memory, of 10", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    elif n == 11:
        print('{"n": 11}', flush=True)
        sys.exit(0)
    elif n == 12:
        print('{"n": 12}', end="", flush=True)
        sys.exit(0)
    elif n == 13:
        print("error gpu_oom 3 GiB of 2", flush=True)
    elif n == 14:
        os.spawnlp(os.P_NOWAIT, "setsid", "setsid", "sleep", "1003")
        print('{"n": 14}', flush=True)
    else:
        print(json.dumps({"n": n}), flush=True)
EOT
my $model = model_for('moody', [$moody], [ 1 .. 15 ], '');
is(work('moody', '--batch-size', '1'), 0, 'a runner of many moods');
is(outcomes($model), <<'EOT' =~ s/\n\z//r, 'each config has the outcome that it deserves');
1: completed
2: unsupported not two
3: completed
4: crash exit code 7: last words
5: completed
6: bad_output output is no result: output ends where a value should stand at byte 10, line 1
7: completed
8: timeout not finished after 2 s
9: completed
10: gpu_oom killed by signal 9 (exit 137): CUDA out of memory, of 10
11: completed
12: completed
13: gpu_oom 3 GiB of 2
14: completed
15: completed
EOT
like(results($model, 'r.raw'), qr/./, 'raw bytes are kept');
is(sql(q{SELECT count(*) FROM benchorch.workers WHERE state = 'quarantined'}), '0', 'nobody is quarantined');

# -------------------------------------------------------- before it is ready

my %starts = (
	vanishes => [ "#!/bin/sh\necho no model here >&2\nexit 3\n", 'crash', 'before it was ready: exit code 3: no model here' ],
	leaves => [ "#!/bin/sh\nexit 0\n", 'crash', 'before it was ready' ],
	oversized => [ "#!/bin/sh\necho CUDA out of memory >&2\nexit 1\n", 'gpu_oom', 'before it was ready: exit code 1: CUDA out of memory' ],
	silent => [ "#!/bin/sh\nexec sleep 1004\n", 'timeout', 'before it was ready: not finished after 1 s' ],
	newer => [ "#!/bin/sh\necho ready 2\ncat >/dev/null\n", 'node_fault', 'version 2 of the stream protocol' ]);
foreach my $name (sort keys %starts)
{
	my ($text, $outcome, $message) = @{ $starts{$name} };
	my $id = model_for($name, [ write_runner($name, $text) ], [1], '', ready_timeout => '"1 second"');

	# a node_fault puts the config back for other workers, and takes the framework from this one
	is(work($name), 0, "a runner that $name before it is ready");
	like(outcomes($id), qr/^1: $outcome .*\Q$message\E/, "$name: $outcome");
}

# ------------------------------------------------------------------ by hand

# What --run-one prints for a config: exit code, standard output, standard error.
sub by_hand
{
	my ($config, @options) = @_;
	my ($out, $err);
	IPC::Run::run([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--work-dir', $work_dir, '--run-one', $config,
		@options ], '<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($? >> 8, $out, $err);
}

my $state = q{SELECT md5(string_agg(t, '|')) FROM (} . join(' UNION ALL ', map { "SELECT r::text AS t FROM benchorch.$_ r" }
	qw(benchmark_configs workers worker_leases claims attempts benchmark_results live_logs progress_deltas lane_chunks)) . ' ORDER BY 1) s';
my $before = sql($state);
my ($third, $fourth) = split /\n/, sql(qq{SELECT id FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND batch_size IN (3, 4) ORDER BY batch_size});
my ($code, $out, $err) = by_hand($third);
is($code, 0, 'a config is run by hand');
is($out, qq({"n": 3, "bad": NaN, "far": Infinity}\n), 'its result is printed');
like($err, qr/^error nonsense\n.*^config $third: ok after [0-9.]+ s$/ms, 'and its log');
($code, $out, $err) = by_hand($fourth, '--keep');
is($code, 1, 'one that fails ends with 1');
like($err, qr/^config $fourth: crash after [0-9.]+ s: exit code 7: last words$/m, 'and says why');
like($err, qr/^kept: (\S+)$/m, '--keep says where its directory is');
my ($kept) = $err =~ /^kept: (\S+)$/m;
ok(-d $kept, 'which is there') and rmdir $kept;
($code, $out, $err) = by_hand('999999');
is($code, 65, 'a config that does not exist');
like($err, qr/config 999999 does not exist/, 'is told');
is(sql($state), $before, 'nothing is claimed or changed');

is(join(' ', glob "$work_dir/*"), '', 'no file is left');
my @left = grep { my $file = $_; eval { slurp_file($file) =~ /\bMARK=\Q$mark\E/ } } glob '/proc/[0-9]*/environ';
is("@left", '', 'no process is left');

# ---------------------------------------------- a runner that talks while it waits

my $chatter = write_runner('chatter', <<'EOT');
#!/usr/bin/perl
$| = 1;
print "ready 1\n";
while (<STDIN>)
{
	print "{\"n\": $.}\n";
	print 'fifteen letters' . "\n" for 1 .. ($. == 1) * 1_000_000;
	open my $said, '>', "$ENV{HOME}/said" or die;
}
EOT
my $chatted = model_for('chatter', [$chatter], [ 1, 2 ], '');
sql(qq{UPDATE benchorch.benchmark_configs SET priority = 2000 WHERE model_version_id = '$chatted' AND batch_size = 2});
my $waiting = IPC::Run::start([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', 'chatter', '--framework', 'chatter',
	'--work-dir', $work_dir, '--log', "$PostgreSQL::Test::Utils::log_path/chatter.json" ], '<', \undef, '>', \my $chatter_out, '2>', \my $chatter_err,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $tries = 10 * $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.1 until -e "$home/said" || !$tries--;
sql(qq{UPDATE benchorch.benchmark_configs SET priority = 100 WHERE model_version_id = '$chatted' AND batch_size = 2});
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM benchorch.benchmark_results WHERE model_version_id = '$chatted' AND parsed ->> 'n' = '2'}),
	'what a runner prints while it waits does not keep it from the next config');
$waiting->signal('TERM');
$waiting->finish;

is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
