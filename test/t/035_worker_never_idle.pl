# The machine does not wait for the database: results are handed in while the
# next config runs, and the next batch is asked for while the last config runs.
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
sql('CREATE EXTENSION benchorch');
sql(q{SELECT benchorch.register_hardware('box', '{"kind": "cpu"}'), benchorch.register_workload('chatbot', '{}')});

# What happens to configs, in its order: a claim or a release may be over before anybody looks.
sql(q{CREATE TABLE public.happened (n bigserial, batch_size int, what text);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
		INSERT INTO public.happened (batch_size, what) VALUES (new.batch_size, CASE WHEN new.status <> old.status THEN new.status ELSE 'start' END);
		RETURN NULL; END$$;
	CREATE TRIGGER note AFTER UPDATE ON benchorch.benchmark_configs FOR EACH ROW
		WHEN (old.status <> new.status OR (new.run_started AND NOT old.run_started)) EXECUTE FUNCTION note()});

# Each run ends when its file has gone: by the two protocols that differ in what runs between two configs.
my $home = $ENV{HOME} = $ENV{TMPDIR} = abs_path(PostgreSQL::Test::Utils::tempdir);
append_to_file("$home/runner", <<'EOT');
#!/bin/sh
echo 'ready 1'
while read -r line; do
	size=$(printf '%s' "$line" | sed 's/.*"batch_size": *\([0-9]*\).*/\1/')
	echo "$size" >>"$HOME/begun"
	while test -e "$HOME/hold-$size"; do sleep 0.02; done
	echo "{\"size\": $size}"
done
EOT
chmod 0755, "$home/runner";
my %frameworks = (
	oneshot => q({"command": ["sh", "-c", "echo {batch_size} >>$HOME/begun; while test -e $HOME/hold-{batch_size}; do sleep 0.02; done; echo '{{\"size\": {batch_size}}}'"]}),
	stream => qq({"protocol": "stream", "command": ["$home/runner"]}));

# The batch sizes of the runs that have begun, in their order.
sub begun
{
	my @sizes = -e "$home/begun" ? split /\n/, slurp_file("$home/begun") : ();
	return @sizes;
}
sub hold { append_to_file("$home/hold-$_", '') foreach @_; }
sub let_go { unlink "$home/hold-$_[0]" or die "hold-$_[0]: $!"; }

sub wait_until
{
	my ($what, $condition) = @_;
	my $tries = 50 * $PostgreSQL::Test::Utils::timeout_default;
	until ($condition->())
	{
		die "timed out waiting: $what\n" if !$tries--;
		select undef, undef, undef, 0.02;
	}
}

# When something happened to the config of a batch size, or 0.
sub when
{
	my ($size, $what) = @_;
	return sql(qq{SELECT coalesce(min(n), 0) FROM happened WHERE batch_size = $size AND what = '$what'});
}

foreach my $protocol (sort keys %frameworks)
{
	sql(qq{SELECT benchorch.register_framework('$protocol', \$json\$$frameworks{$protocol}\$json\$)});
	sql(qq{SELECT benchorch.create_template('$protocol', '{"hardware": ["box"], "frameworks": ["$protocol"], "workloads": ["chatbot"],
		"batch_sizes": [1, 2, 3, 4], "sequence_lengths": [1024]}')});
	foreach my $batch (4, 1)
	{
		my $model = sql(q{SELECT benchorch.register_model('model')});
		my @worker = ($worker, '--db', $node->connstr('postgres'), '--hardware', 'box', '--name', $protocol, '--framework', $protocol, '--model', $model,
			'--batch-size', $batch, '--work-dir', $home, '--until-settled');

		sql("SELECT benchorch.populate_matrix('$model', template => '$protocol'); TRUNCATE happened");
		unlink "$home/begun";
		hold(1 .. 4);
		my $handle = IPC::Run::start(\@worker, '<', \undef, '>', \my $out, '2>', "$PostgreSQL::Test::Utils::log_path/$protocol-$batch.log",
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
		wait_until('the first run', sub { begun() == 1 });
		my ($first) = begun();

		if ($batch == 4)
		{
			wait_until('its start to be known', sub { when($first, 'start') });
			# hand_in waits for this lock
			my $locker = $node->background_psql('postgres');
			$locker->query_safe(qq{BEGIN; SELECT FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND batch_size = $first FOR UPDATE});
			let_go($first);
			wait_until('the second run', sub { begun() == 2 });
			is(sql(qq{SELECT status FROM benchorch.benchmark_configs WHERE model_version_id = '$model' AND batch_size = $first}), 'running',
				"never idle, $protocol: the next config runs before the result of the one before has been handed in");
			$locker->query_safe('COMMIT');
			$locker->quit;
			wait_until('the result', sub { when($first, 'completed') });
			ok(sql(qq{SELECT accepted FROM benchorch.benchmark_results WHERE model_version_id = '$model' AND parsed ->> 'size' = '$first'}) eq 't' && begun() == 2,
				"never idle, $protocol: which is handed in while it runs");
		}
		else
		{
			# how long a run takes it learns from the one before
			let_go($first);
			wait_until('the second run', sub { begun() == 2 });
			wait_until('the next claim', sub { sql(q{SELECT count(*) FROM happened WHERE what = 'running'}) == 3 });
			is(sql(q{SELECT string_agg(what, ' ' ORDER BY n) FROM (SELECT n, what FROM happened ORDER BY n LIMIT 6) AS h}),
				'running start completed running start running', "never idle, $protocol: the next batch is claimed after the last config of this one has begun");
			is(scalar(begun()), 2, "never idle, $protocol: and while it runs");
			is(when((begun())[1], 'completed'), 0, "never idle, $protocol: not after it");
		}
		unlink glob "$home/hold-*";
		$handle->finish;
		is($handle->{KIDS}[0]{RESULT}, 0, "$protocol: the worker ends well");
		is(sql(qq{SELECT string_agg(DISTINCT status, ' ') FROM benchorch.benchmark_configs WHERE model_version_id = '$model'}), 'completed', "$protocol: and all is done");
	}
}
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

$node->stop;
done_testing();
