# benchorch-worker and benchmarks that the kernel kills for memory: told by the
# control group (version 2) that each run has of its own.
#
# It needs a group beside or below its own that has the memory controller and
# that it may fill: as root on a machine of its own, or below one that is
# delegated, as systemd does it.  Elsewhere it is skipped, with the reason.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Find;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($worker, $units) = map { abs_path("$FindBin::Bin/../../build/$_") } qw(benchorch-worker test-cgroup);
die "build/benchorch-worker is not there; make tests builds it\n" unless $worker && -x $worker && $units && -x $units;

# ------------------------------------------------------------------- a group

sub write_file
{
	my ($path, $text) = @_;
	open my $file, '>', $path or return 0;
	my $good = syswrite $file, $text;
	return close($file) && $good;
}

# Where groups can be made that count memory: the directory, or why not.
sub parent_group
{
	my ($mount) = map { (split)[4] } grep { / - cgroup2 / } split /\n/, slurp_file('/proc/self/mountinfo');
	my ($own) = map { substr $_, 3 } grep { /^0::/ } split /\n/, slurp_file('/proc/self/cgroup');
	my $why = '';

	return (undef, 'control groups of version 2 are not mounted') unless $mount && defined $own;
	foreach my $parent ("$mount$own", dirname("$mount$own"))
	{
		my $probe = "$parent/benchorch-test-$$";

		last if length $parent < length $mount;
		# one that has processes does not hand it down, unless it is the root
		$why = "no group with the memory controller in $parent", next
		  unless slurp_file("$parent/cgroup.controllers") =~ /\bmemory\b/
		  && (slurp_file("$parent/cgroup.subtree_control") =~ /\bmemory\b/ || write_file("$parent/cgroup.subtree_control", '+memory'));
		$why = "no group can be made in $parent: $!", next unless mkdir $probe;
		my $good = write_file("$probe/memory.max", '400M') && system('sh', '-c', 'echo $$ 2>/dev/null >"$0"', "$probe/cgroup.procs") == 0;
		rmdir $probe;
		return ($parent) if $good;
		$why = "no process can be moved into a group in $parent";
	}
	return (undef, $why);
}

my ($parent, $why) = parent_group();
plan skip_all => $why unless $parent;

# A command in a new group that may use 400 MiB, alone or below a shell that waits for it; returns the group's directory.
my @groups;
sub run_in_group
{
	my ($command, $out, $err, $accompanied) = @_;
	my $how = $accompanied ? '"$@"; exit $?' : 'exec "$@"';
	my $group = "$parent/benchorch-test-$$-" . @groups;

	mkdir $group or die "$group: $!\n";
	push @groups, $group;
	write_file("$group/memory.max", '400M') or die "$group/memory.max: $!\n";
	write_file("$group/memory.swap.max", '0');	# not every kernel has it
	IPC::Run::run([ 'sh', '-c', 'echo $$ >"$0/cgroup.procs" && ' . $how, $group, @$command ], '<', \undef, '>', $out, '2>', $err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $group;
}
END
{
	local $?;
	finddepth({ no_chdir => 1, wanted => sub { rmdir if -d } }, $_) foreach @groups;
}

# ------------------------------------------------------------ the unit tests

my ($out, $err);
run_in_group([$units], \$out, \$err);
is($?, 0, 'the unit tests of groups, where groups count memory');
is(join("\n", $out =~ /^(?:not ok .*|.*# SKIP.*)$/mg), '', 'none of which fails or is skipped');

# ------------------------------------------------------------------ the cases

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch; SELECT benchorch.seed_outcome_rules()');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

$ENV{HOME} = abs_path(PostgreSQL::Test::Utils::tempdir);
my $work_dir = abs_path(PostgreSQL::Test::Utils::tempdir);
my $mark = "benchorch-test-$$";	# in the environment of whatever is started
my $eat = q(perl -e '$x .= "x" x 1e6 while 1');

append_to_file("$ENV{HOME}/runner", <<"EOT");
#!/bin/sh
echo 'ready 1'
while read -r line; do
	case \$line in *'"batch_size": 2,'*) exec $eat ;; esac
	echo '{}'
done
EOT
append_to_file("$ENV{HOME}/moody", <<"EOT");
#!/bin/sh
echo 'ready 1'
while read -r line; do
	case \$line in
		*'"batch_size": 3,'*) $eat; echo 'error crash the engine has died' ;;
		*'"batch_size": 2,'*) exit 3 ;;
		*) echo '{}' ;;
	esac
done
EOT
chmod 0755, map { "$ENV{HOME}/$_" } 'runner', 'moody';
append_to_file("$ENV{HOME}/loads", "#!/bin/sh\n$eat\nexit 1\n");
chmod 0755, "$ENV{HOME}/loads";

# What the second of three configs does, or whatever a runner does; then, from batch size 1 on, what became of each,
# the outcome of the second one, a pattern that its message matches, and whether a shell waits for the worker.  The largest
# runs first.
my %cases = (
	itself => [ "exec $eat", 'completed failed completed', 'host_oom', 'killed by the kernel' ],
	with_children => [ "setsid sleep 1000 & sleep 1001 & exec $eat", 'completed failed completed', 'host_oom', 'killed by the kernel' ],
	child => [ "$eat; echo the engine has died >&2; exit 1", 'completed failed completed', 'host_oom',
		'the kernel has killed a process of it.*: the engine has died' ],
	accompanied => [ "exec $eat", 'completed failed completed', 'host_oom', 'killed by the kernel', 1 ],
	helper => [ "$eat; echo '{{}}'", 'completed completed completed', 'ok', '' ],
	killed => [ 'kill -9 $$', 'completed failed completed', 'crash', 'killed by signal 9' ],
	runner => [ undef, 'completed failed completed', 'host_oom', 'killed by the kernel' ],
	# what was killed while an earlier config ran is not told of a later one
	moody => [ undef, 'completed failed failed', 'crash', 'exit code 3' ],
	loads => [ undef, 'failed', 'host_oom', 'before it was ready: the kernel has killed a process of it' ]);

foreach my $name (sort keys %cases)
{
	my ($does, $statuses, $outcome, $pattern, $accompanied) = @{ $cases{$name} };
	my $command = defined $does ? "test {batch_size} = 2 || exec echo '{{}}'; $does" =~ s/([\\"])/\\$1/gr : '';
	my $json = defined $does ? qq("command": ["sh", "-c", "$command"]) : qq("protocol": "stream", "command": ["$ENV{HOME}/$name"]);
	my $sizes = $statuses =~ / / ? '1, 2, 3' : '2';

	sql(qq{SELECT benchorch.register_framework('$name', \$json\${$json, "env": {"MARK": "$mark"}}\$json\$)});
	sql(qq{SELECT benchorch.create_template('$name', '{"hardware": ["box"], "frameworks": ["$name"], "workloads": ["chatbot"],
		"batch_sizes": [$sizes], "sequence_lengths": [1024], "limits": {"crash_retries": 0}}')});
	my $model = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$model', template => '$name')");

	my $group = run_in_group([ $worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', $name, '--framework', $name,
		'--work-dir', $work_dir, '--until-settled' ], \$out, \$err, $accompanied);
	is($?, 0, "$name: the worker itself ends well");
	is(sql(qq{SELECT string_agg(status, ' ' ORDER BY batch_size) FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}),
		$statuses, "$name: and has gone on");
	like(sql(qq{SELECT coalesce((SELECT a.outcome || ': ' || a.message FROM benchorch.attempts a WHERE a.config_id = c.id), 'ok: ')
		FROM benchorch.benchmark_configs c WHERE model_version_id = '$model' AND batch_size = 2}), qr/^$outcome: .*$pattern/s, "$name: $outcome");

	my @left = grep { my $file = $_; eval { slurp_file($file) =~ /\bMARK=\Q$mark\E/ } } glob '/proc/[0-9]*/environ';
	is("@left", '', "$name: no process is left");
	is(join(' ', glob "$group/benchorch-run-*"), '', "$name: nor a group of a run");
	# a shell in the group keeps it from handing memory down, and the worker from leaving it
	is(scalar(() = glob "$group/benchorch-worker-*"), $accompanied ? 0 : 1, "$name: the worker was " . ($accompanied ? 'with others' : 'in one of its own'));
}

is(join(' ', glob "$work_dir/*"), '', 'no file is left');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
