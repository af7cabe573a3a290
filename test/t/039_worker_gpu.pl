# A worker on a machine with GPUs, as a fake driver shows them: what it is
# matched with, what a run gets and what its result tells, and a sick GPU.
use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $worker = abs_path("$FindBin::Bin/../../build/benchorch-worker");
my $driver = abs_path("$FindBin::Bin/../../build/fake-nvml");
die "build/benchorch-worker is not there; make worker builds it\n" unless $worker && -x $worker;
die "build/fake-nvml is not there; make worker-tests builds it\n" unless $driver && -d $driver;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "benchorch.lease = '2s'\n");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');

# What the driver says; a number in the UUIDs keeps runs of this test beside each other apart.
my $home = abs_path(PostgreSQL::Test::Utils::tempdir);
my $says = "$home/nvml";
sub driver_says
{
	my ($text) = @_;
	my $new = "$says.new";
	unlink $new;
	append_to_file($new, "uuid GPU-fake-$$-\n$text");
	rename $new, $says or die;
}

# The framework prints what it sees, and does as it is told.
sql(q{SELECT benchorch.register_framework('seer', $json${"command": ["sh", "-c", "if test -e $HOME/do; then . $HOME/do; fi; echo '{{\"visible\": \"'$CUDA_VISIBLE_DEVICES'\", \"order\": \"'$CUDA_DEVICE_ORDER'\"}}'"]}$json$)});
my $matrices = 0;
sub matrix
{
	my ($hardware, $n) = @_;
	my $sizes = join ',', 1 .. $n;
	my $name = 'matrix-' . $matrices++;

	sql(qq{SELECT benchorch.create_template('$name', '{"hardware": ["$hardware"], "frameworks": ["seer"], "workloads": ["qa"],
		"batch_sizes": [$sizes], "sequence_lengths": [1024], "limits": {"crash_retries": 0}}')});
	my $id = sql(q{SELECT benchorch.register_model('model')});
	sql("SELECT benchorch.populate_matrix('$id', template => '$name')");
	return $id;
}

sub worker_command
{
	my (@options) = @_;
	return [ 'env', "LD_LIBRARY_PATH=$driver", "FAKE_NVML=$says", "HOME=$home", $worker, '--db', $node->connstr('postgres'),
		'--framework', 'seer', '--work-dir', $home, @options ];
}

# Runs a worker to its end; its exit code and what it said.
sub run_worker
{
	my ($out, $err);
	IPC::Run::run(worker_command(@_), '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($? >> 8, $out . $err);
}

sub environment_of
{
	my ($model, $path) = @_;
	return sql("SELECT environment #>> '{$path}' FROM benchorch.benchmark_results WHERE model_version_id = '$model' ORDER BY id LIMIT 1");
}

# ------------------------------------------------------------------ matching

driver_says("count 8\n");
my $model = matrix('p5en.48xlarge', 2);
my ($code, $said) = run_worker('--name', 'whole', '--until-settled', '--model', $model);
is($code, 0, 'a worker on eight H200 GPUs works to the end');
is(sql(q{SELECT h.name || ' ' || w.gpus FROM benchorch.workers w JOIN benchorch.hardware_configs h ON h.id = w.hardware_config_id
	WHERE w.name = 'whole'}), 'p5en.48xlarge 8', 'as p5en.48xlarge: product, number and memory within 10 % match');
is(sql("SELECT count(*) FROM benchorch.benchmark_results WHERE model_version_id = '$model' AND accepted"), 2, 'each config has its result');
is(sql("SELECT DISTINCT parsed ->> 'visible' || ' ' || (parsed ->> 'order') FROM benchorch.benchmark_results WHERE model_version_id = '$model'"),
	"GPU-fake-$$-0 PCI_BUS_ID", 'a config that needs one GPU sees one, by UUID');

driver_says("count 1\nname NVIDIA-A100-SXM4-40GB\nmemory 42314694656\nfree 42000000000\n");
($code, $said) = run_worker('--name', 'one', '--register');
like($said, qr/ a2-highgpu-1g\n/, 'a label\'s spelling of the product matches, too, and the number decides');
driver_says("count 4\nname NVIDIA A100-SXM4-80GB\nmemory 85899345920\nfree 85000000000\n");
($code, $said) = run_worker('--name', 'part', '--register');
like($said, qr/ p4de\.24xlarge\n/, 'part of a larger machine is of its kind');
is(sql("SELECT gpus FROM benchorch.workers WHERE name = 'part'"), 4, 'with a slot of what it sees');
driver_says("name NVIDIA X1000\nmemory 10000000000\nfree 10000000000\n");
($code, $said) = run_worker('--name', 'unknown', '--register');
like($said, qr/ nvidia-x1000-1x\n/, 'an unknown GPU gets a row of its own');
like($said, qr/no hardware_configs row matches 1 x NVIDIA X1000 with 9\.3 GiB/, 'and a word about it');
is(sql("SELECT enabled FROM benchorch.hardware_configs WHERE name = 'nvidia-x1000-1x'"), 'f', 'which does not grow the matrix');
driver_says("memory 75000000000\n");
($code, $said) = run_worker('--name', 'half', '--register');
like($said, qr/ nvidia-h200-1x\n/, 'a GPU with half of the memory is another');

# --------------------------------------------------------------- the record

# counters step by one reading, of which each run takes two
driver_says("field_74_step 1000\nfield_270_step 7\nfield_271 5\nenergy_step 2500\n");
$model = matrix('p5en.48xlarge', 1);
($code, $said) = run_worker('--name', 'recorder', '--until-settled', '--model', $model);
is($code, 0, 'a worker on one GPU');
my %expected = (
	driver => '580.65.06', cuda => '13.0', 'gpus,0,uuid' => "GPU-fake-$$-0", 'gpus,0,name' => 'NVIDIA H200',
	'gpus,0,memory_bytes' => 150754820096, 'gpus,0,ecc' => 'true', 'gpus,0,mig' => '', 'gpus,0,power_limit_w' => '700.0',
	'gpus,0,max_sm_clock_mhz' => 1980, 'gpus,0,max_memory_clock_mhz' => 3201, 'gpus,0,before,sm_clock_mhz' => 345,
	'gpus,0,after,temperature_c' => 31, 'gpus,0,before,power_w' => '', 'gpus,0,before,memory_free_bytes' => 150000000000,
	'gpus,0,before,ecc_errors' => 0, 'gpus,0,after,throttle_ns,power_brake' => 5, 'gpus,0,after,throttle_ns,thermal_software' => '',
	'gpus,1' => '');
is(environment_of($model, $_), $expected{$_}, "environment $_") foreach sort keys %expected;
is(sql("SELECT string_agg((g -> 'after' #>> path)::numeric - (g -> 'before' #>> path)::numeric || '', ' ')
	FROM (SELECT environment #> '{gpus,0}' AS g FROM benchorch.benchmark_results WHERE model_version_id = '$model') r,
	(VALUES ('{throttle_ns,power_cap}'::text[]), ('{throttle_ns,thermal_hardware}'), ('{energy_j}')) AS p (path)"),
	'1000 7 2.500', 'the counters before and after differ by what the run made them grow');
is(sql("SELECT bool_and((environment ->> key)::float8 >= 0) FROM benchorch.benchmark_results, unnest(ARRAY['seconds', 'run_cpu_s',
	'others_cpu_s', 'steal_cpu_s']) key WHERE model_version_id = '$model'"), 't', 'times of run, machine and hypervisor are there');
is(sql("SELECT environment #>> '{details,gpu_free_share}' FROM benchorch.benchmark_results WHERE model_version_id = '$model'"), '0.9950',
	'and how much of the GPU\'s memory was free');

# ------------------------------------------------------------- out of memory

# The smallest runs out of memory while all of it was free, or was not; some others may have been claimed by then.
my $oom = "$home/do";
append_to_file($oom, "echo 'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB' >&2; exit 1\n");
driver_says('');
$model = matrix('p5en.48xlarge', 8);
run_worker('--name', 'oom', '--until-settled', '--model', $model, '--batch-size', 1);
like(sql("SELECT string_agg(status, ' ' ORDER BY batch_size) FROM benchorch.benchmark_configs WHERE model_version_id = '$model'"),
	qr/^failed .*skipped$/, 'out of a GPU\'s memory that was free: what needs as much is skipped');
driver_says("free 140000000000\n");
$model = matrix('p5en.48xlarge', 2);
run_worker('--name', 'crowded', '--until-settled', '--model', $model, '--batch-size', 1);
is(sql("SELECT string_agg(status, ' ' ORDER BY batch_size) || ' ' || (SELECT string_agg(DISTINCT outcome, ' ') FROM benchorch.attempts a
	WHERE a.config_id = ANY (array_agg(c.id))) FROM benchorch.benchmark_configs c WHERE model_version_id = '$model'"),
	'pending pending node_fault', 'out of a GPU\'s memory that another used: the machine\'s fault');
unlink $oom;

# ------------------------------------------------------------- the GPU's fault

append_to_file($oom, "grep -q xid \$FAKE_NVML || echo xid 79 >> \$FAKE_NVML; exit 1\n");
driver_says('');
$model = matrix('p5en.48xlarge', 1);
run_worker('--name', 'fallen', '--until-settled', '--model', $model, '--pass-env', 'FAKE_NVML');
is(sql("SELECT outcome || ': ' || message || ' ' || blamed FROM benchorch.attempts a JOIN benchorch.benchmark_configs c ON c.id = a.config_id
	WHERE c.model_version_id = '$model'"), "gpu_fault: GPU-fake-$$-0: Xid 79 (exit code 1) false", 'what the driver reports of the GPU explains a crash');
is(sql(q{SELECT state FROM benchorch.workers WHERE name = 'fallen'}), 'quarantined', 'and quarantines the worker');
unlink $oom;

# --------------------------------------------------------------------- slots

driver_says("count 2\n");
$model = matrix('p5en.48xlarge', 6);
my $held = "$home/do";
append_to_file($held, "echo held > \$HOME/held; while test -e \$HOME/do; do sleep 0.05; done\n");
my ($out, $err);
my $first = IPC::Run::start(worker_command('--name', 'slot-a', '--gpus', 1, '--model', $model, '--batch-size', 1, '--until-settled'), '<', \undef,
	'>', \$out, '2>', \$err, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
my $tries = 20 * $PostgreSQL::Test::Utils::timeout_default;
select undef, undef, undef, 0.05 until -e "$home/held" || !$tries--;
($code, $said) = run_worker('--name', 'slot-c', '--gpus', 2);
is($code, 64, 'a worker that wants GPUs which another has');
like($said, qr/1 of the 2 GPUs of this machine is free, and 2 are wanted; other workers have the rest: give each its share with --gpus/,
	'is told so');
my $second = IPC::Run::start(worker_command('--name', 'slot-b', '--gpus', 1, '--model', $model, '--batch-size', 1, '--until-settled'), '<', \undef,
	'>', \my $out2, '2>', \my $err2, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
$node->poll_query_until('postgres', "SELECT count(*) = 2 FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND run_started")
	or die 'timed out waiting: two workers at work';
unlink $held;
$_->finish foreach $first, $second;
is(sql("SELECT string_agg(DISTINCT parsed ->> 'visible', ' ' ORDER BY parsed ->> 'visible') FROM benchorch.benchmark_results
	WHERE model_version_id = '$model'"), "GPU-fake-$$-0 GPU-fake-$$-1", 'two workers of one machine have a GPU each');

# ---------------------------------------------------------------- a sick GPU

my %sick = (
	'ecc_errors 3' => qr/GPU-fake-$$-0 has had 3 uncorrectable memory errors/,
	'remap_pending 1' => qr/is to replace broken rows of its memory: reset it/,
	'remap_failed 1' => qr/could not replace broken rows of its memory/,
	'lost 15' => qr/GPU 0 cannot be used: it does not answer the driver/,
	'free 75000000000' => qr/somebody else uses GPU GPU-fake-$$-0: only 69\.8 of its 140\.4 GiB are free/,
);
$model = matrix('p5en.48xlarge', 1);
foreach my $fault (sort keys %sick)
{
	driver_says("$fault\n");
	($code, $said) = run_worker('--name', 'patient', '--until-settled', '--model', $model);
	is($code, 75, "$fault: a worker on it ends with 75");
	like($said, $sick{$fault}, "$fault: says why");
	# which hardware it is cannot be told without any GPU
	next if $fault =~ /^lost/;
	like(sql("SELECT state || ': ' || reason FROM benchorch.workers WHERE name = 'patient'"), qr/^draining: .*$sick{$fault}/s,
		"$fault: so does the database");
}
is(sql("SELECT attempt FROM benchorch.benchmark_configs WHERE model_version_id = '$model'"), 0, 'and nothing was claimed');
driver_says("init 18\n");
($code, $said) = run_worker('--name', 'mismatch', '--until-settled');
is($code, 75, 'a driver that does not answer: 75');
like($said, qr/the NVIDIA driver does not answer: Driver\/library version mismatch \(18\)/, 'and the reason');
driver_says('');
is((run_worker('--name', 'patient', '--until-settled', '--model', $model))[0], 0, 'a GPU that is well again works');
is(sql("SELECT state || coalesce(reason, '') FROM benchorch.workers WHERE name = 'patient'"), 'active', 'and the worker is active');

is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');
$node->stop;
done_testing();
