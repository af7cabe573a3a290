#!/usr/bin/perl
#
# cuda_build.t: the CUDA plugin as it was built, on a machine with or without a
# GPU: for which chips, without spilled registers, and kept apart from the program;
# and that make does without nvcc, and says so.

use strict;
use warnings;

use File::Basename qw(basename);
use Test::More;

my $engine = $ENV{BENCHORCH_ENGINE} // 'build/benchorch-engine';
my $plugin = $engine . '-cuda.so';
my @shape = ('--architecture', '{"n_layers":1,"hidden_size":64,"n_heads":1,"ffn_dim":64,"vocab_size":64}',
	'--batch-size', 1, '--input-tokens', 4, '--output-tokens', 2, '--budget', 0.1, '--threads', 1);

sub output_of
{
	my @command = @_;

	open(my $pipe, '-|', @command) or die "@command: $!";
	local $/;
	my $output = <$pipe> // '';
	close($pipe);
	return $output;
}

# Exit code, and both outputs together.
sub run_engine
{
	my @arguments = @_;
	my $pid = open(my $pipe, '-|') // die "fork: $!";

	if ($pid == 0)
	{
		open(STDERR, '>&', \*STDOUT) or die;
		exec($engine, @arguments) or die;
	}
	local $/;
	my $output = <$pipe> // '';
	close($pipe);
	return ($? >> 8, $output);
}

# what make would do with that nvcc, from the beginning
sub would_make
{
	my ($nvcc) = @_;

	return output_of('make', '-n', '-B', '--no-print-directory', '-f', 'worker/engine/engine.mk', "NVCC=$nvcc", 'engine');
}

like(would_make(''), qr/benchorch-engine: without CUDA, for there is no nvcc here/, 'without nvcc: make says so');
unlike(would_make(''), qr/\.cu\b|cublas/, 'and makes no plugin');
my $with = would_make('/nowhere/bin/nvcc');
like($with, qr{benchorch-engine: with CUDA, by /nowhere/bin/nvcc}, 'with nvcc: make says with which');
my @kernels = grep { m{^\@?/nowhere/bin/nvcc } } split /\n/, $with;
is(scalar(grep { /-Werror all-warnings .*-warn-spills,-Werror .*code=sm_80 .*code=sm_90 .*code=compute_90 / } @kernels),
	scalar(my @sources = glob('worker/engine/cuda_*.cu')), 'each kernel for both chips and as PTX, and a warning or a spill ends it')
  or diag($with);

unless (-e $plugin)
{
  SKIP:
	{
		skip('there is no nvcc here, so the plugin was not built', 1);
	}
	done_testing();
	exit 0;
}

for my $source (glob('worker/engine/cuda_*.cu'))
{
	my $log = 'build/engine/plugin/' . basename($source) . '.o.log';

	open(my $file, '<', $log) or die "$log: $!";
	my ($kernel, $kernels, %chips) = ('', 0);
	while (my $line = <$file>)
	{
		if ($line =~ /Compiling entry function '(\w+)' for '(\w+)'/)
		{
			$kernel = "$1 for $2";
			$kernels++;
			$chips{$2} = 1;
		}
		if ($line =~ /(\d+) bytes spill stores, (\d+) bytes spill loads/ && $1 + $2 > 0)
		{
			fail("$source: $kernel spills $1 and $2 bytes");
		}
	}
	cmp_ok($kernels, '>', 0, basename($source) . ": $kernels kernels, none spills");
	is(join(' ', sort keys %chips), 'sm_80 sm_90', basename($source) . ': for both chips');
}

my @exported = map { /\s[BDRTVW]\s+(\w+)/ ? $1 : () } split /\n/, output_of('nm', '-D', '--defined-only', $plugin);
is_deeply(\@exported, ['benchorch_engine_backend'], 'the plugin exports one thing');
my $needs = output_of('readelf', '-d', $plugin);
like($needs, qr/NEEDED.*libcublasLt/, 'the plugin brings cuBLASLt');
unlike($needs, qr/NEEDED.*lib(cuda|nvidia-ml)\./, 'and finds the driver by itself');
unlike(output_of('readelf', '-d', $engine), qr/NEEDED.*lib(cuda|cublas|nvidia|stdc)/, 'the program needs nothing of CUDA');

SKIP:
{
	skip('there is a GPU here', 2) if -e '/dev/nvidiactl';
	my ($code, $output) = run_engine(@shape, '--backend', 'cuda', '--precision', 'bf16');
	is($code, 72, 'without a GPU: the exit code says so');
	like($output, qr/no GPU can be used/, 'without a GPU: and the message') or diag($output);
}
my ($code, $output) = run_engine(@shape, '--backend', 'auto', '--precision', 'bf16');
is($code, 0, 'auto finds something to run on') or diag($output);

done_testing();
