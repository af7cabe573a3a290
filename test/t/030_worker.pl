# The life of benchorch-worker: a matrix run to its end, signals, a killed
# worker, a database that goes away, cancelled work, and the command line.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use FindBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $worker = abs_path("$FindBin::Bin/../../build/benchorch-worker");
die "build/benchorch-worker is not there; make worker builds it\n" unless $worker && -x $worker;

# Engine-shaped frameworks that need nothing: they print JSON, fast or slowly.
my %frameworks = (
	quick => q({"command": ["sh", "-c", "echo '{{\"output_tokens_per_s\": {batch_size}}}'"]}),
	held => q({"command": ["sh", "-c", "echo $$ > $HOME/new; mv $HOME/new $HOME/running; while test -e $HOME/hold; do sleep 0.05; done; echo '{{}}'"]}),
	fragile => q({"command": ["sh", "-c", "echo $$ > $HOME/new; mv $HOME/new $HOME/running; exec sleep 1000"]}),
	dying => q({"command": ["sh", "-c", "test -e $HOME/{config_id} || {{ touch $HOME/{config_id}; exit 3; }}; echo '{{}}'"]}));

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "benchorch.lease = '2s'\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});
sql("SELECT benchorch.register_framework('$_', \$json\$$frameworks{$_}\$json\$)") foreach sort keys %frameworks;
$ENV{HOME} = $ENV{TMPDIR} = abs_path(PostgreSQL::Test::Utils::tempdir);

# While it exists, runs of the framework "held" do not end.
my $hold = "$ENV{HOME}/hold";
append_to_file($hold, '');

# A model version with a matrix of n configs for one framework.
sub matrix
{
	my ($framework, $n) = @_;
	my $sizes = join ',', 1 .. $n;

	sql(qq{SELECT benchorch.create_template('$framework-$n', '{"hardware": ["box"], "frameworks": ["$framework"],
		"workloads": ["chatbot"], "batch_sizes": [$sizes], "sequence_lengths": [1024], "limits": {"crash_delays_s": [0.1]}}')});
	my $id = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$id', template => '$framework-$n')");
	return $id;
}

sub counts
{
	return sql(qq{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n
		FROM benchorch.benchmark_configs WHERE model_version_id = '$_[0]' GROUP BY status) s});
}

sub wait_for
{
	my ($query, $what) = @_;
	$node->poll_query_until('postgres', $query) or die "timed out waiting: $what";
}

sub invariants_hold
{
	is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');
}

# A worker; the caller finishes it.
my $started = 0;
sub start_worker
{
	my @options = @_;
	my %it = (log => "$PostgreSQL::Test::Utils::log_path/worker_" . $started++ . '.log');
	my @command = ($worker, '--db', $node->connstr('postgres'), '--hardware', 'box', @options);

	unlink "$ENV{HOME}/running";
	$it{handle} = IPC::Run::start(\@command, '<', \undef, '>', \$it{out}, '2>', $it{log},
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	$it{pid} = $it{handle}{KIDS}[0]{PID};
	return \%it;
}

# Its exit code, or minus the signal that ended it.
sub end_of
{
	my ($it) = @_;
	$it->{handle}->finish;
	my $status = $it->{handle}{KIDS}[0]{RESULT};
	return $status & 127 ? -($status & 127) : $status >> 8;
}

# Waits for a run of the framework "held" that was not asked for before; its process.
sub begun_run
{
	my $tries = 20 * $PostgreSQL::Test::Utils::timeout_default;
	until (-e "$ENV{HOME}/running")
	{
		die "timed out waiting: a run\n" if !$tries--;
		select undef, undef, undef, 0.05;
	}
	my $pid = slurp_file("$ENV{HOME}/running");
	unlink "$ENV{HOME}/running";
	return $pid + 0;
}

# Waits until a worker has logged an event.
sub wait_for_log
{
	my ($it, $event) = @_;
	my $tries = 20 * $PostgreSQL::Test::Utils::timeout_default;
	until (slurp_file($it->{log}) =~ /"event":"$event"/)
	{
		die "timed out waiting: event $event\n" if !$tries--;
		select undef, undef, undef, 0.05;
	}
}

# Waits until a process has vanished.
sub wait_until_gone
{
	my ($pid) = @_;
	my $tries = 20 * $PostgreSQL::Test::Utils::timeout_default;
	while (kill(0, $pid))
	{
		return 0 if !$tries--;
		select undef, undef, undef, 0.05;
	}
	return 1;
}

# -------------------------------------------------------------- to the end

my $model = matrix('quick', 40);
is(end_of(start_worker('--name', 'first', '--framework', 'quick', '--until-settled')), 0, 'a worker ends when all is settled');
is(counts($model), 'completed 40', 'every config is completed');
is(sql(qq{SELECT count(*) FROM benchorch.benchmark_results WHERE model_version_id = '$model' AND accepted
	AND environment ->> 'worker_version' IS NOT NULL}), '40', 'with a result each, and the environment that it came from');
is(sql(qq{SELECT count(DISTINCT parsed ->> 'output_tokens_per_s') FROM benchorch.benchmark_results
	WHERE model_version_id = '$model'}), '40', 'which its own command gave');
is(end_of(start_worker('--name', 'first', '--framework', 'quick', '--until-settled')), 0, 'nothing to do is no failure');

$model = matrix('quick', 60);
my @workers = map { start_worker('--framework', 'quick', '--until-settled', '--batch-size', 7) } 1 .. 3;
is(end_of($_), 0, 'one of three workers ends') foreach @workers;
is(counts($model), 'completed 60', 'three workers share a matrix');
is(sql(qq{SELECT count(*) FROM benchorch.workers WHERE name LIKE '%-_'}), '3', 'each took a slot of its own as its name');
invariants_hold();

$model = matrix('dying', 2);
is(end_of(start_worker('--name', 'first', '--framework', 'dying', '--until-settled')), 0, 'a worker waits for retries');
is(counts($model), 'completed 2', 'configs that crashed once are completed');
is(sql(q{SELECT DISTINCT outcome || ' ' || exit_code || ' ' || argv[1] FROM benchorch.attempts}), 'crash 3 sh',
	'the crashed attempts are on record');

# --------------------------------------------------- what is seen of a run

sql(q{SELECT benchorch.register_framework('talking', '{"command":
	["sh", "-c", "echo step one >&2; while test -e $HOME/hold; do sleep 0.05; done; echo last words >&2; exit 3", "it is", "{batch_size}"]}')});
$model = matrix('talking', 1);
sql(q{SELECT benchorch.create_template('talking-1', '{"limits": {"crash_retries": 0}}')});
my $talking = start_worker('--name', 'first', '--framework', 'talking', '--heartbeat', '0.2', '--until-settled');
my ($seen) = sql("SELECT id FROM benchorch.benchmark_configs WHERE model_version_id = '$model'");
wait_for("SELECT EXISTS (SELECT FROM benchorch.logs($seen) WHERE run = 'running' AND line = 1 AND content = 'step one')",
	'the log of a run that goes on');
is(sql("SELECT string_agg(content, '|' ORDER BY line) FROM benchorch.logs($seen) WHERE run = 'running' AND line = 1"), 'step one',
	'logs() shows what a run has printed while it runs');
like(sql("SELECT content FROM benchorch.logs($seen) WHERE line = 0"), qr/^# on first: running for [0-9:]+; as of [0-9:]+$/, 'where, how long and as of when');
like(sql("SELECT * FROM benchorch.watch('$model')"), qr/└─ box \/ talking  0 of 1 settled, 1 running\n.*└─ config $seen on first for [0-9:]+$/m,
	'watch() shows it below its lane');
unlink $hold;
is(end_of($talking), 0, 'it fails');
my $script = 'echo step one >&2; while test -e $HOME/hold; do sleep 0.05; done; echo last words >&2; exit 3';
is(sql("SELECT run || '|' || line || '|' || content FROM benchorch.logs($seen)"), join("\n", map { "attempt 1: crash|$_" }
	"-1|\$ sh -c '$script' 'it is' 1", '0|# on first: exit code 3: last words', '1|step one', '2|last words'),
	'logs() of a failed attempt has its command, worker, reason, and what it printed');
like(sql("SELECT * FROM benchorch.watch('$model')"), qr/└─ failed: crash × 1, as in config $seen: exit code 3: last words$/m, 'and watch() says why');
append_to_file($hold, '');

# ------------------------------------------------------- every placeholder

append_to_file("$ENV{HOME}/arguments", <<'EOT');
#!/usr/bin/perl
use JSON::PP;
print JSON::PP->new->encode({map { split /=/, $_, 2 } @ARGV}), "\n";
EOT
chmod 0755, "$ENV{HOME}/arguments";
my @names = qw(model model_name architecture workload batch_size sequence_length input_tokens output_tokens dataset num_prompts gpus seed
	tensor_parallel pipeline_parallel data_parallel repeat params.color:none deadline_s attempt item:none config_json port:none config_id hardware
	framework result_file work_dir);
my ($table) = slurp_file("$FindBin::Bin/../../docs/worker.md") =~ /^\| placeholder \| value \|\n(.*?)\n\n/ms;
is(join(' ', sort grep { !/NAME/ } map { /\{([\w.]+)\}/g } map { (split /\|/)[1] } split /\n/, $table),
	join(' ', sort grep { !/^params/ } map { s/:.*//r } @names), 'the placeholders that the document has');
my $arguments = join ', ', map { my $name = s/[.:].*//r; qq("$name={$_}") } @names;
sql(qq{SELECT benchorch.register_framework('arguments', '{"command": ["$ENV{HOME}/arguments", $arguments, "{arguments.color}", "both={{ {batch_size}x{sequence_length} }}"],
	"details": {"arguments": {"color": {"deep red": ["arguments=of red"]}}}}')});
sql(q{SELECT benchorch.create_template('arguments', '{"hardware": ["box"], "frameworks": ["arguments"], "workloads": ["chatbot"], "batch_sizes": [5],
	"sequence_lengths": [1024], "dimensions": {"color": {"kind": "request", "values": ["deep red"]}}, "limits": {"deadline_s": 77}}')});
$model = sql(q{SELECT benchorch.register_model('a model', source => 'org/it''s $HOME')});
sql("SELECT benchorch.populate_matrix('$model', template => 'arguments')");
sql(qq{SELECT benchorch.register_framework('items', '{"command": ["$ENV{HOME}/arguments", "item={item}"]}')});
my $sent = sql(q{SELECT benchorch.submit('items', '["it''s; $(false)", {"a": [1, null]}]')});
is(end_of(start_worker('--name', 'first', '--framework', 'arguments', '--framework', 'items', '--until-settled')), 0, 'a command that prints its arguments');
my $filled = JSON::PP->new->decode(sql("SELECT convert_from(raw, 'UTF8') FROM benchorch.benchmark_results WHERE model_version_id = '$model'"));
my ($id) = sql("SELECT id FROM benchorch.benchmark_configs WHERE model_version_id = '$model'");
my %filled = (model => q(org/it's $HOME), model_name => 'a model', architecture => '{}', workload => 'chatbot', batch_size => 5, sequence_length => 1024,
	input_tokens => 512, output_tokens => 512, dataset => 'random', num_prompts => 50, gpus => 1, tensor_parallel => 1, pipeline_parallel => 1,
	data_parallel => 1, repeat => 1, params => 'deep red', deadline_s => 77, attempt => 1, item => 'none', port => 'none', config_id => $id,
	hardware => 'box', framework => 'arguments', arguments => 'of red', both => '{ 5x1024 }');
is($filled->{$_}, $filled{$_}, "placeholder $_") foreach sort keys %filled;
my $whole = JSON::PP->new->decode($filled->{config_json});
is(join(' ', map { $whole->{$_} } qw(config_id batch_size seed)), "$id 5 $filled->{seed}", 'placeholder config_json is the whole config, seed is its seed');
like($filled->{seed}, qr/^[0-9]+$/, 'placeholder seed is a number');
is($filled->{result_file}, "$filled->{work_dir}/result.json", 'placeholder result_file lies in the directory of the run');
ok($filled->{work_dir} =~ m{^\Q$ENV{TMPDIR}\E/benchorch-$id-} && !-e $filled->{work_dir}, 'placeholder work_dir is a directory of its own, which is gone');
is(sql("SELECT string_agg(parsed ->> 'item', '|' ORDER BY config_id) FROM benchorch.benchmark_results WHERE model_version_id = '$sent'"),
	q(it's; $(false)|{"a": [1, null]}), 'placeholder item is the element that was submitted, and no shell sees it');

# ---------------------------------------------------- what a command is given

append_to_file("$ENV{HOME}/environment", <<'EOT');
#!/usr/bin/perl
use JSON::PP;
print JSON::PP->new->canonical->encode(\%ENV), "\n";
EOT
chmod 0755, "$ENV{HOME}/environment";
sql(qq{SELECT benchorch.register_framework('environment', '{"command": ["$ENV{HOME}/environment"],
	"env": {"OWN": "framework", "VLLM_PORT": "framework", "WANTED_TOO": "framework", "HF_HOME": "framework"}}')});
$model = matrix('environment', 1);
my %given = (PATH => $ENV{PATH}, HOME => $ENV{HOME}, LD_LIBRARY_PATH => '/opt/lib', LANG => 'C.UTF-8', LC_ALL => 'C', TMPDIR => $ENV{TMPDIR},
	HF_TOKENIZERS => 'worker', HF_HOME => 'worker', NCCL_DEBUG => 'worker', CUDA_CACHE_PATH => 'worker', VLLM_LOGGING_LEVEL => 'worker', VLLM_PORT => 'worker',
	SGLANG_X => 'worker', OMP_NUM_THREADS => '1', OPENBLAS_NUM_THREADS => '1', WANTED => 'worker', WANTED_TOO => 'worker');
my %withheld = (PGPASSWORD => 'secret', PGHOST => '/nowhere', PGPASSFILE => '/nowhere', PGOPTIONS => '-c work_mem=8MB', PG => 'x', AWS_SECRET_ACCESS_KEY => 'secret',
	USER => 'me', SHELL => '/bin/sh', PYTHONPATH => '/nowhere', UNWANTED => 'x', WANTED_NOT => 'x', PATHS => 'x', HOMEPAGE => 'x', LD_LIBRARY_PATHS => 'x',
	HF => 'x', HFX => 'x', NCCL => 'x', CUDA => 'x', CUDAX => 'x', VLLM => 'x', MY_VLLM_X => 'x', SGLANG => 'x', BENCHORCH_STREAM => 'x');
{
	local %ENV = (%withheld, %given);
	is(end_of(start_worker('--name', 'first', '--framework', 'environment', '--until-settled', '--pass-env', 'WANTED', '--pass-env', 'WANTED_TOO',
		'--pass-env', 'NOT_THERE')), 0, 'a command that prints its environment');
}
my %expected = (%given, OWN => 'framework', VLLM_PORT => 'framework', WANTED_TOO => 'framework', HF_HOME => 'framework');
my %got = map { split /=/, $_, 2 } split /\n/, sql(qq{SELECT e.key || '=' || e.value FROM benchorch.benchmark_results r, jsonb_each_text(r.parsed) e
	WHERE r.model_version_id = '$model'});
# valgrind has a directory of its own there
$got{LD_LIBRARY_PATH} =~ s{:/usr/lib/debug$}{} if ($ENV{BENCHORCH_SANITIZE} // 0) == 2;
is($got{PATH} // '', "$ENV{PATH}:" . dirname($worker), 'it has the worker\'s PATH, the worker\'s own directory behind it');
$expected{PATH} = $got{PATH};
is($got{$_} // '', $expected{$_}, "passed on, the framework's env on top: $_") foreach sort keys %expected;
is(join(' ', grep { exists $got{$_} } sort keys %withheld), '', 'nothing of the database\'s, and no other variable that the worker has');
is(join(' ', sort keys %got), join(' ', sort keys %expected), 'and nothing else at all');
my ($said, $complained);
IPC::Run::run([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--framework', 'environment', '--pass-env', 'PGPASSWORD' ],
	'<', \undef, '>', \$said, '2>', \$complained);
is($? >> 8, 64, 'the database\'s cannot be asked for either');

# ------------------------------------------------------------------ signals

$model = matrix('held', 10);
my $it = start_worker('--name', 'second', '--framework', 'held', '--grace', '0');
my $child = begun_run();
kill TERM => $it->{pid};
is(end_of($it), 143, 'SIGTERM ends a worker with 143');
is(counts($model), 'pending 10', 'everything is pending again');
is(sql(qq{SELECT sum(retry_count) FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), '0', 'at no cost');
ok(!kill(0, $child), 'the benchmark is gone');

$it = start_worker('--name', 'second', '--framework', 'held', '--grace', '60');
begun_run();
my $waiting = sql(qq{SELECT count(*) FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'running'});
cmp_ok($waiting, '>', 1, 'a batch waits behind the first run');
kill INT => $it->{pid};
wait_for(qq{SELECT count(*) = 1 FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'running'},
	'what waits to be handed back within the grace');
pass('what waits is handed back while the run has its grace');
kill INT => $it->{pid};
is(end_of($it), 130, 'a second Ctrl-C ends the run as well, with 130');
is(counts($model), 'pending 10', 'everything is pending again');

$it = start_worker('--name', 'second', '--framework', 'held', '--grace', '60');
begun_run();
kill TERM => $it->{pid};
wait_for(qq{SELECT count(*) = 1 FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND status = 'running'},
	'what waits to be handed back');
unlink $hold;
is(end_of($it), 143, 'a worker whose run ends within the grace');
is(counts($model), 'completed 1, pending 9', 'hands it in');
invariants_hold();

# -------------------------------------------------------- a notice from the cloud

append_to_file($hold, '');
my $notice = "$ENV{HOME}/notice";
my $taken = matrix('held', 3);
$it = start_worker('--name', 'second', '--framework', 'held', '--model', $taken, '--grace', '0', '--preemption-check', $notice);
begun_run();
append_to_file($notice, '');
is(end_of($it), 143, 'a notice file ends a worker as SIGTERM does');
is(counts($taken), 'pending 3', 'and all is handed back');
unlink $notice;

my $asked = "$ENV{HOME}/asked";
append_to_file($notice, "#!/bin/sh\necho >>$asked\ntest -e $asked.yes\n");
chmod 0755, $notice;
$it = start_worker('--name', 'second', '--framework', 'held', '--model', $taken, '--grace', '0', '--preemption-check', $notice);
begun_run();
my $times = 20 * $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.05 until -s $asked > 1 || !$times--;
is(counts($taken) =~ /running/ ? 1 : 0, 1, 'a command that says no is asked again');
append_to_file("$asked.yes", '');
is(end_of($it), 143, 'until it says yes');
like(slurp_file($it->{log}), qr/"event":"preemption"/, 'which the log tells');
is(counts($taken), 'pending 3', 'and all is handed back');

# One that cannot be run, its interpreter missing, then can.
sub write_notice
{
	my ($text) = @_;
	append_to_file("$notice.new", $text);
	chmod 0755, "$notice.new";
	rename "$notice.new", $notice or die "$notice: $!";
}
SKIP:
{
	skip 'valgrind does not survive an exec() that fails', 4 if ($ENV{BENCHORCH_SANITIZE} // 0) == 2;
	write_notice("#!/no/such/interpreter\n");
	$it = start_worker('--name', 'second', '--framework', 'held', '--model', $taken, '--grace', '0', '--preemption-check', $notice);
	begun_run();
	wait_for_log($it, 'preemption_check');
	select undef, undef, undef, 4.5;	# it is asked again every 2 s
	like(counts($taken), qr/running/, 'a command that cannot be run is no notice');
	write_notice("#!/bin/sh\n");
	is(end_of($it), 143, 'and is asked again until it can');
	my @told = slurp_file($it->{log}) =~ /^(.*"event":"preemption_check".*)$/mg;
	is(scalar(@told), 1, 'that it could not is told once');
	like($told[0], qr{\Q$notice\E could not be run: No such file or directory; see that it runs by itself: until then nothing tells of a notice},
		'with the reason, and what follows from it');
}
sql("SELECT benchorch.cancel('$taken')");

# What stops the worker may tell its benchmark as well; that is no crash of the config's.
$taken = matrix('fragile', 1);
$it = start_worker('--name', 'second', '--framework', 'fragile', '--model', $taken, '--grace', '60');
$child = begun_run();
kill TERM => $it->{pid};
wait_for_log($it, 'stop');
kill TERM => $child;
is(end_of($it), 143, 'a benchmark that SIGTERM ends together with its worker');
is(counts($taken), 'pending 1', 'is handed back');
is(sql(qq{SELECT retry_count FROM benchorch.benchmark_configs WHERE model_version_id = '$taken'}), '0', 'at no cost');
sql("SELECT benchorch.cancel('$taken')");
unlink $hold;

# ------------------------------------------------------------- cancelled

append_to_file($hold, '');
$it = start_worker('--name', 'second', '--framework', 'held', '--heartbeat', '0.2');
$child = begun_run();
sql("SELECT benchorch.cancel('$model')");
my $next = matrix('held', 1);
wait_for(qq{SELECT count(*) = 1 FROM benchorch.benchmark_configs WHERE model_version_id = '$next' AND run_started},
	'the worker to go on with other work');
ok(!kill(0, $child), 'a cancelled run is killed, and the worker goes on');

# ---------------------------------------------------------- a dead worker

my $orphan = begun_run();
kill KILL => $it->{pid};
is(end_of($it), -9, 'a worker is killed in the middle of a run');
is(wait_until_gone($orphan), 1, 'its benchmark goes with it');
unlink $hold;
is(end_of(start_worker('--name', 'third', '--framework', 'held', '--model', $next, '--until-settled')), 0,
	'another worker waits for the lease to run out');
is(counts($next), 'completed 1', 'and completes the work of the dead one');
is(sql(qq{SELECT outcome FROM benchorch.attempts JOIN benchorch.benchmark_configs c ON c.id = config_id
	WHERE model_version_id = '$next'}), 'lost', 'the lost attempt is on record');

# The same name again: what the earlier process held is not kept alive by the new one's heartbeats.
append_to_file($hold, '');
$next = matrix('held', 5);
$it = start_worker('--name', 'second', '--framework', 'held', '--heartbeat', '0.2');
$orphan = begun_run();
kill KILL => $it->{pid};
end_of($it);
wait_until_gone($orphan);
unlink $hold;
is(end_of(start_worker('--name', 'second', '--framework', 'held', '--heartbeat', '0.2', '--until-settled')), 0,
	'a worker that comes back under its name');
is(counts($next), 'completed 5', 'does again what it had lost');
invariants_hold();

# -------------------------------------------------- the database goes away

append_to_file($hold, '');
$next = matrix('held', 3);
$it = start_worker('--name', 'second', '--framework', 'held', '--until-settled');
begun_run();
$node->stop('immediate');
unlink $hold;
$node->start;
is(end_of($it), 0, 'a worker outlives a crash of the database');
is(counts($next), 'completed 3', 'what ended meanwhile is handed in');
like(slurp_file($it->{log}), qr/"event":"database_lost"/, 'the log tells of it');
invariants_hold();

# -------------------------------------------------------- the command line

sub fails_with
{
	my ($code, $pattern, $name, @options) = @_;
	my ($out, $err);

	IPC::Run::run([ $worker, @options ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, $code, "$name: exit code $code");
	like($err, $pattern, "$name: says what to do");
}

my @db = ('--db', $node->connstr('postgres'));
fails_with(64, qr/^benchorch-worker: unknown option --foo; try --help$/, 'unknown option', '--foo');
fails_with(64, qr/--heartbeat must be less than the lease/, 'a heartbeat longer than the lease', @db, '--hardware', 'box',
	'--framework', 'quick', '--heartbeat', '5');
fails_with(65, qr/framework \\"nope\\" does not exist/, 'unknown framework', @db, '--hardware', 'box', '--framework', 'nope');
fails_with(65, qr/hardware \\"nope\\" does not exist/, 'unknown hardware', @db, '--hardware', 'nope', '--framework', 'quick');
fails_with(64, qr/"event":"usage".*give --db a connection string/, 'a connection string that is none', '--db', 'host=db nonsense=1', '--framework', 'quick');
fails_with(64, qr/"event":"usage".*give --db a connection string/, 'a port that is none', '--db', 'host=db port=abc', '--framework', 'quick');
fails_with(65, qr/role \\"nobody\\" does not exist; look at user/, 'unknown user', '--db', $node->connstr('postgres') . ' user=nobody', '--framework', 'quick');
fails_with(65, qr/database \\"nowhere\\" does not exist; look at user/, 'unknown database', '--db', $node->connstr('nowhere'), '--framework', 'quick');
fails_with(65, qr/CREATE EXTENSION benchorch/, 'no extension', '--db', $node->connstr('template1'), '--framework', 'quick');

my ($out, $err);
IPC::Run::run([ $worker, @db, '--register', '--name', 'here', '--framework', 'quick' ], '>', \$out, '2>', \$err);
is($out, sql(q{SELECT w.id || ' ' || h.name FROM benchorch.workers w JOIN benchorch.hardware_configs h
	ON h.id = w.hardware_config_id WHERE w.name = 'here'}) . "\n", '--register prints the worker id and the hardware of this machine');
is(sql(q{SELECT kind || ' ' || enabled || ' ' || (gpu_memory_bytes > 0) FROM benchorch.hardware_configs h
	JOIN benchorch.workers w ON w.hardware_config_id = h.id WHERE w.name = 'here'}), 'cpu false true',
	'which is registered, but not part of the reference matrix');

$it = start_worker('--name', 'twin', '--framework', 'quick');
wait_for(q{SELECT count(*) = 1 FROM benchorch.workers WHERE name = 'twin'}, 'the twin');
fails_with(64, qr/give each its own --name/, 'a name that is taken', @db, '--hardware', 'box', '--framework', 'quick', '--name', 'twin');
kill TERM => $it->{pid};
is(end_of($it), 143, 'SIGTERM ends a worker that waits for work');

# A role with the rights of a worker and no others.
sql(q{CREATE ROLE hand LOGIN; SELECT benchorch.grant_worker('hand')});
$model = matrix('quick', 2);
is(end_of(start_worker('--db', $node->connstr('postgres') . ' user=hand', '--name', 'hand', '--framework', 'quick',
	'--until-settled')), 0, 'the rights of grant_worker() are enough');
is(counts($model), 'completed 2', 'to work');

$node->stop;
done_testing();
