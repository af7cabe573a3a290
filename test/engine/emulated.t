#!/usr/bin/perl
#
# emulated.t: what the program says of a GPU, with an emulated one (as in the
# rehearsal of make gpu-check): what does not fit is refused with the arithmetic,
# energy is the counter's, and burst and sustained speed are apart.

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
sub engine
{
	my ($architecture, $batch, $input, $budget) = @_;
	my $command = "$engine --backend cuda --precision bf16 --architecture '" . encode_json($architecture) .
		"' --batch-size $batch --input-tokens $input --output-tokens 4 --budget $budget";
	my $status = system("BENCHORCH_ENGINE_PLUGINS=$rehearsal LD_LIBRARY_PATH=$rehearsal " .
		"$command >$folder/out 2>$folder/err");
	my @outputs;

	for my $name (qw(out err))
	{
		open(my $file, '<', "$folder/$name") or die "$name: $!";
		local $/;
		push @outputs, <$file> // '';
	}
	return ($status >> 8, @outputs);
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

($code, $out, $err) = engine(\%small, 1, 8, 1);
is($code, 0, 'a short measurement') or diag($err);
my $short = decode_json($out);
is($short->{energy_j}, undef, 'has no energy: the counter says little over less than 3 s');
is($short->{sustained_output_tokens_per_s}, undef, 'and nothing sustained');

($code, $out, $err) = engine(\%small, 1, 8, 9);
is($code, 0, 'a longer one') or diag($err);
my $long = decode_json($out);
cmp_ok($long->{energy_j} // 0, '>', 0, 'has energy');
cmp_ok($long->{burst_output_tokens_per_s} // 0, '>', 0, 'a burst');
cmp_ok($long->{sustained_output_tokens_per_s} // 0, '>', 0, 'and what is sustained after 3 s');
cmp_ok($long->{throttled_share} // -1, '>=', 0, 'and the share of its time that the driver counted as throttled');

done_testing();
