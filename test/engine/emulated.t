#!/usr/bin/perl
#
# emulated.t: what the program says of a GPU, with an emulated one (as in the
# rehearsal of make gpu-check): what does not fit is refused with the arithmetic,
# energy is the counter's, burst and sustained speed are apart, and what a device
# that fails means for a config and for a runner.

use strict;
use warnings;

use Cwd qw(getcwd);
use File::Temp qw(tempdir);
use JSON::PP;
use List::Util qw(sum);
use Test::More;

my $engine = $ENV{BENCHORCH_ENGINE} // 'build/benchorch-engine';
my $rehearsal = getcwd() . '/build/rehearsal';
my $folder = tempdir(CLEANUP => 1);
my %small = (
	n_layers => 1, hidden_size => 64, n_heads => 1, n_kv_heads => 1, head_dim => 64,
	ffn_dim => 64, vocab_size => 64);
my %large = (
	%small, n_layers => 32, hidden_size => 4096, n_heads => 32, n_kv_heads => 8, head_dim => 128,
	ffn_dim => 14336);

plan skip_all => 'there is no g++ for the emulated GPU' unless -e "$rehearsal/benchorch-engine-cuda.so";

# Exit code, standard output, standard error.
sub run
{
	my ($failure, $arguments) = @_;
	my $status = system("BENCHORCH_ENGINE_PLUGINS=$rehearsal LD_LIBRARY_PATH=$rehearsal BENCHORCH_EMULATED_FAILURE=$failure " .
		"$engine --backend cuda --precision bf16 $arguments >$folder/out 2>$folder/err");
	my @outputs;

	for my $name (qw(out err))
	{
		open(my $file, '<', "$folder/$name") or die "$name: $!";
		local $/;
		push @outputs, <$file> // '';
	}
	return ($status & 127 ? "signal $status" : $status >> 8, @outputs);
}

sub engine
{
	my ($architecture, $batch, $input, $budget, $failure) = @_;

	return run($failure // '', "--architecture '" . encode_json($architecture) .
		"' --batch-size $batch --input-tokens $input --output-tokens 4 --budget $budget");
}

# A runner's answers to configs of these numbers of requests, without "ready", and its exit code.
sub stream
{
	my ($failure, @batches) = @_;

	open(my $file, '>', "$folder/configs") or die;
	print $file encode_json({ batch_size => $_, input_tokens => 8, output_tokens => 3, seed => 1, params => { budget => 0.2 } }), "\n"
	  for @batches;
	close($file);
	my ($code, $out) = run($failure, "--stream --architecture '" . encode_json(\%small) . "' <$folder/configs");
	my ($ready, @answers) = split /\n/, $out;
	is($ready, 'ready 1', "runner, $failure: it was ready");
	return ($code, @answers);
}

my ($code, $out, $err) = engine(\%large, 64, 1024, 1);
is($code, 68, 'what does not fit on the GPU: the exit code of gpu_oom');
is($out, '', 'and no result');
like($err, qr/does not fit: weights [\d.]+ \+ KV cache [\d.]+ \+ .* GiB, available/, 'the message has the arithmetic');
my ($line) = $err =~ /^(\{.*\})$/m;
my $oom = decode_json($line // '{}');
is($oom->{outcome}, 'gpu_oom', 'the outcome for programs');
is($oom->{needed_bytes}, sum(@$oom{qw(weights_bytes kv_cache_bytes activations_bytes library_bytes)}),
	'the arithmetic adds up');
cmp_ok($oom->{needed_bytes}, '>', $oom->{available_bytes}, 'and is more than there is');
cmp_ok($oom->{available_bytes}, '<=', 1 << 30, 'which is not more than the device has');

($code, $out, $err) = engine(\%small, 1, 8, 1);
is($code, 0, 'a short measurement') or diag($err);
my $short = decode_json($out);
is($short->{energy_j}, undef, 'has no energy: the counter says little over less than 3 s');
is($short->{sustained_output_tokens_per_s}, undef, 'and nothing sustained');

# where others have the processors it takes longer until 3 s of measuring are left
my $long;
foreach my $budget (9, 40)
{
	($code, $out, $err) = engine(\%small, 1, 8, $budget);
	$long = decode_json($code == 0 ? $out : '{}');
	last if $code != 0 || $long->{sustained_output_tokens_per_s};
}
is($code, 0, 'a longer one') or diag($err);
cmp_ok($long->{energy_j} // 0, '>', 0, 'has energy');
cmp_ok($long->{burst_output_tokens_per_s} // 0, '>', 0, 'a burst');
cmp_ok($long->{sustained_output_tokens_per_s} // 0, '>', 0, 'and what is sustained after 3 s');
cmp_ok($long->{throttled_share} // -1, '>=', 0, 'and the share of its time that the driver counted as throttled');

# what fails on the way, early enough for the slowest machine
foreach my $n (1, 12, 25, 40, 60)
{
	($code, $out, $err) = engine(\%small, 1, 8, 1, "kernel:$n");
	is($code, 74, "kernel $n fails: the exit code of gpu_fault");
	is($out, '', 'and no result');
	like($err, qr/emulated/, 'the message has what CUDA said') or diag($err);
}

my @answers;
($code, @answers) = stream('kernel:40', 1, 2, 1);
like($answers[0], qr/^error gpu_fault /, 'a kernel fails in a runner: the config\'s outcome');
is(scalar @answers, 1, 'and the next one is for another process');
is($code, 0, 'which this one makes room for');

# before are the model, its smallest workspace, and the first config's
($code, @answers) = stream('malloc:4', 1, 8, 1, 8);
like($answers[0], qr/^\{/, 'memory that another has taken: before, a result');
like($answers[1], qr/^error gpu_oom could not allocate the KV cache/, 'then the config\'s outcome');
like($answers[$_], qr/^\{/, 'and the next ones have results again') for 2, 3;
cmp_ok(decode_json($answers[3])->{memory}{available_bytes}, '<=', 1 << 30, 'what is held counts as available, but not twice');
is($code, 0, 'to the end');

($code, $out, $err) = engine(\%small, 1, 8, 1, 'instantiate:1');
is($code, 0, 'a driver that has no graphs of overlapping launches') or diag($err);
is(decode_json($out)->{environment}{overlap}, 'no', 'gets one without');
is($short->{environment}{overlap}, 'yes', 'unlike others');

done_testing();
