# benchorch-worker and hostile benchmarks: each ends with the outcome that it
# deserves, leaves no process and no file, and does not disturb the others.
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

my $mark = "benchorch-test-$$";	# in the environment of whatever the benchmarks leave behind

# name => [command, outcome, pattern that the message matches]
my %children = (
	fine => [ [ 'echo', '{{"output_tokens_per_s": 1}}' ], 'ok', '' ],
	result_file => [ [ 'sh', '-c', q(echo progress; echo '{{"from": "file"}}' > {result_file}) ], 'ok', '' ],
	big_json => [ [ 'perl', '-e', q(print '{{"a": "' . 'x' x 10000000 . '"}}'; print STDERR "garbage\n" x 1250000) ], 'ok', '' ],
	json_and_garbage => [ [ 'perl', '-e', q(print '{{"a": "' . 'x' x 10000000 . '"}}', "\n", 'garbage ' x 1250000) ], 'ok', '' ],
	fork_and_leave => [ [ 'sh', '-c', q(sleep 1000 & setsid sh -c 'sleep 1001 & sleep 1002' & echo '{{}}') ], 'ok', '' ],
	fork_twice => [ [ 'perl', '-MPOSIX', '-e', qq(if (!fork) {{ POSIX::setsid(); exec 'env', '-i', 'sh', '-c', 'sleep 1003; :', '$mark' if !fork; POSIX::_exit(0) }} wait; print '{{}}') ], 'ok', '' ],
	fork_bomb => [ [ 'perl', '-e', q($0 = 'bomb'; fork for 1 .. 5; sleep 1000) ], 'timeout', 'not finished after 1 s' ],
	kill_parent => [ [ 'sh', '-c', 'setsid sleep 1004 & kill -9 $PPID; sleep 1005' ], 'crash', 'killed by signal 9' ],
	locked_files => [ [ 'sh', '-c', q(mkdir -p a/b/c; touch a/f a/b/c/f; chmod 0 a/b/c; chmod 555 a/b; chmod 0 a; echo '{{}}') ], 'ok', '' ],
	missing_command => [ [ 'no-such-command', '{model}' ], 'node_fault', 'command not found: no-such-command' ],
	not_executable => [ ['/etc/passwd'], 'node_fault', 'Permission denied' ],
	silent => [ ['true'], 'bad_output', 'without output' ],
	big_garbage => [ [ 'perl', '-e', q(print '{{"a": "' . 'x' x 10000000, "\n", 'garbage ' x 1250000) ], 'bad_output', 'no result' ],
	endless => [ ['yes'], 'bad_output', 'more than 67108864 bytes' ],
	no_json => [ [ 'echo', 'Throughput: 12 tok/s' ], 'bad_output', 'no result' ],
	half_json => [ [ 'echo', '{{"a": 1, "b":' ], 'bad_output', 'no result' ],
	binary => [ [ 'head', '-c', '1000', '/dev/urandom' ], 'bad_output', 'no result' ],
	hang => [ [ 'sleep', '1000' ], 'timeout', 'not finished after 1 s' ],
	ignore_sigterm => [ [ 'sh', '-c', q(trap '' TERM; while :; do sleep 0.1; done) ], 'timeout', 'not finished after 1 s' ],
	close_and_hang => [ [ 'sh', '-c', 'exec >&- 2>&-; sleep 1000' ], 'timeout', 'not finished after 1 s' ],
	chatty_hang => [ [ 'sh', '-c', 'while :; do echo noise >&2; done' ], 'timeout', 'noise' ],
	falls_silent => [ [ 'sh', '-c', 'echo hello >&2; sleep 1000' ], 'timeout', 'printed nothing for 0.3 s: hello', '--silence', '0.3' ],
	keeps_talking => [ [ 'sh', '-c', q(for i in 1 2 3 4; do sleep 0.15; echo $i >&2; done; echo '{{}}') ], 'ok', '', '--silence', '0.5' ],
	large_log => [ [ 'perl', '-e', q(print STDERR 'x' x 99, "\n" for 1 .. 2000000; print '{{}}') ], 'ok', '' ],
	gigabyte => [ [ 'sh', '-c', q(yes 0123456789 | head -c 1000000000 >&2; echo '{{}}') ], 'ok', '' ],
	no_core => [ [ 'sh', '-c', q(test "$(ulimit -c)" = 0 && echo '{{}}') ], 'ok', '' ],
	odd_bytes => [ [ 'perl', '-e', q(print qq({{"a": NaN, "b": -Infinity, "s": "\xff\xfe"}}\n); print STDERR qq(\0\xff bytes\n)) ], 'ok', '' ],
	exit_137 => [ [ 'sh', '-c', 'exit 137' ], 'crash', 'killed by signal 9' ],
	kill_itself => [ [ 'sh', '-c', 'echo last words >&2; kill -9 $$' ], 'crash', 'killed by signal 9 .exit 137.: last words' ],
	segfault => [ [ 'sh', '-c', 'kill -SEGV $$' ], 'crash', 'signal 11' ],
	exit_3 => [ [ 'sh', '-c', 'echo one >&2; echo two >&2; exit 3' ], 'crash', 'exit code 3: two' ],
	gpu_oom => [ [ 'sh', '-c', 'echo RuntimeError: CUDA out of memory. Tried to allocate >&2; exit 1' ], 'gpu_oom', 'CUDA out of memory' ],
	gpu_oom_on_stdout => [ [ 'sh', '-c', 'echo torch.OutOfMemoryError: no; exit 1' ], 'gpu_oom', 'OutOfMemoryError' ],
	unknown_placeholder => [ [ 'echo', '{modle}' ], 'bad_config', 'unknown placeholder .modle.' ],
	missing_value => [ [ 'echo', '{params.tp}' ], 'bad_config', 'has no value' ],
	secrets => [ [ 'sh', '-c', 'echo token is $MY_API_TOKEN $0 >&2; exit 1', '--api-key=s3cr3t-argument', '--hf-token', 's3cr3t-following' ],
		'crash', 'token is [*]{3}' ],
);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_outcome_rules()');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

sub json_array { return '[' . join(', ', map { s/([\\"])/\\$1/gr =~ s/\n/\\n/gr =~ s/^|$/"/gr } @_) . ']'; }

# One model version, and one config, for each: none prunes, delays or quarantines for another.
my %models;
foreach my $name (sort keys %children)
{
	my $command = json_array(@{ $children{$name}[0] });
	# only what is to run into its deadline has a short one
	my $deadline = $children{$name}[2] =~ /^not finished|noise/ ? 1 : 60;
	sql(qq{SELECT benchorch.register_framework('$name', \$json\${"command": $command, "env": {"MARK": "$mark", "MY_API_TOKEN": "s3cr3t-value"}}\$json\$)});
	sql(qq{SELECT benchorch.create_template('$name', '{"hardware": ["box"], "frameworks": ["$name"], "workloads": ["chatbot"],
		"batch_sizes": [1], "sequence_lengths": [1024],
		"limits": {"deadline_s": $deadline, "crash_retries": 0, "timeout_retries": 0, "bad_output_retries": 0}}')});
	$models{$name} = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$models{$name}', template => '$name')");
}

my $work_dir = PostgreSQL::Test::Utils::tempdir;
delete local $ENV{MARK};

# Processes with our mark in their environment or among their arguments.
sub left_behind
{
	my @found;
	foreach my $file (glob '/proc/[0-9]*/environ /proc/[0-9]*/cmdline')
	{
		open my $fh, '<', $file or next;
		local $/;
		my $text = <$fh> // '';
		push @found, $file if $text =~ /(?:\bMARK=|\x00)\Q$mark\E/;
	}
	return join ' ', @found;
}

foreach my $name (sort keys %children)
{
	my (undef, $outcome, $pattern, @options) = @{ $children{$name} };
	my ($out, $err);

	# a node_fault puts the config back for other workers, so ask for its end only where it ends
	my $ends = $outcome ne 'node_fault';
	my @command = ($worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', $name, '--framework', $name,
		'--model', $models{$name}, '--work-dir', $work_dir, @options);
	my $handle = IPC::Run::start([ @command, $ends ? '--until-settled' : () ], '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	if (!$ends)
	{
		$node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM benchorch.attempts a
			JOIN benchorch.benchmark_configs c ON c.id = a.config_id WHERE c.model_version_id = '$models{$name}'});
		$handle->signal('TERM');
	}
	$handle->finish;
	is($handle->{KIDS}[0]{RESULT}, $ends ? 0 : 143 << 8, "$name: the worker itself ends well");

	my $got = sql(qq{SELECT coalesce((SELECT a.outcome || ': ' || coalesce(a.message, '') FROM benchorch.attempts a WHERE a.config_id = c.id),
		'ok: ' || coalesce(c.error_message, '')) FROM benchorch.benchmark_configs c WHERE c.model_version_id = '$models{$name}'});
	like($got, qr/^$outcome: .*$pattern/s, "$name: $outcome");
	is(left_behind(), '', "$name: no process is left");
}

is(join(' ', glob "$work_dir/*"), '', 'no file is left');
is(sql(qq{SELECT parsed ->> 'from' FROM benchorch.benchmark_results WHERE model_version_id = '$models{result_file}'}), 'file',
	'the result is what stands in the result file');
is(sql(qq{SELECT length(raw) FROM benchorch.benchmark_results WHERE model_version_id = '$models{big_json}'}), 10000009,
	'a result of 10 MB is kept whole');
like(sql(qq{SELECT length(log) || ' ' || (environment -> 'details' ->> 'bytes_dropped') FROM benchorch.benchmark_results
	WHERE model_version_id = '$models{big_json}'}), qr/^8[0-9]{4} 99[0-9]{5}$/, 'and of 10 MB of log head and tail, with what was dropped');
is(sql(q{SELECT count(*) FROM benchorch.attempts WHERE position('s3cr3t'::bytea IN coalesce(log, '')) > 0
	OR coalesce(message, '') LIKE '%s3cr3t%' OR details::text LIKE '%s3cr3t%' OR argv::text LIKE '%s3cr3t%'}), 0, 'no secret is in any log or argument');
like(sql(qq{SELECT length(log) || ' ' || (environment -> 'details' ->> 'bytes_dropped') FROM benchorch.benchmark_results
	WHERE model_version_id = '$models{large_log}'}), qr/^8[0-9]{4} 1999[0-9]{5}$/, 'of 200 MB of log head and tail are kept');
is(sql(qq{SELECT encode(raw, 'escape') FROM benchorch.benchmark_results WHERE model_version_id = '$models{odd_bytes}'}),
	qq({"a": NaN, "b": -Infinity, "s": "\\377\\376"}\n), 'bytes that are no text, and numbers that are none, are kept as they came');

# ----------------------------------------------------------- every signal

# Odd sizes die by a signal, even ones end well: no three failures stand in a row.  What has no handler
# and does not end a process by default is no death; SIGSTOP is a hang.
my %harmless = map { $_ => 1 } 17, 18, 20 .. 23, 28;
my %silenced = map { $_ => 1 } 19;
my $sizes = join ', ', 2 .. 63;
sql(q{SELECT benchorch.register_framework('mortal', $json${"command": ["sh", "-c",
	"test $(({batch_size} % 2)) = 0 || kill -$(({batch_size} / 2)) $$; echo '{{}}'"]}$json$)});
sql(qq{SELECT benchorch.create_template('mortal', '{"hardware": ["box"], "frameworks": ["mortal"], "workloads": ["chatbot"],
	"batch_sizes": [$sizes], "sequence_lengths": [1024], "limits": {"deadline_s": 2, "crash_retries": 0, "timeout_retries": 0}}')});
my $mortal = sql(q{SELECT benchorch.register_model('model')});
sql("SELECT benchorch.populate_matrix('$mortal', template => 'mortal')");
my ($said, $complained);
# a shell's & and nohup make the worker ignore some; its benchmarks must not
local $SIG{INT} = local $SIG{QUIT} = local $SIG{HUP} = 'IGNORE';
IPC::Run::run([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', 'mortal', '--framework', 'mortal',
	'--model', $mortal, '--work-dir', $work_dir, '--batch-size', '1', '--until-settled' ], '<', \undef, '>', \$said, '2>', \$complained,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $expected = join "\n", map {
	my $signal = $_ >> 1;
	$_ % 2 == 0 || $harmless{$signal} ? "$_ completed" : $silenced{$signal} ? "$_ failed timeout" : "$_ failed crash $signal" } 2 .. 63;
is(sql(qq{SELECT concat_ws(' ', c.batch_size, c.status, a.outcome, CASE WHEN a.outcome = 'crash' THEN a.signal END)
	FROM benchorch.benchmark_configs c LEFT JOIN benchorch.attempts a ON a.config_id = c.id
	WHERE c.model_version_id = '$mortal' ORDER BY c.batch_size}), $expected, 'death by each signal is told as such');
is(sql(q{SELECT state FROM benchorch.workers WHERE name = 'mortal'}), 'active', 'and the worker goes on');

is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
