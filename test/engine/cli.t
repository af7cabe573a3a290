#!/usr/bin/perl
#
# cli.t: benchorch-engine as its users see it: arguments in, one JSON object and
# an exit code out.  Run from the repository's root, after the build.

use strict;
use warnings;

use File::Temp qw(tempdir);
use JSON::PP;
use List::Util qw(sum);
use Test::More;

my $engine = $ENV{BENCHORCH_ENGINE} // 'build/benchorch-engine';
my $folder = tempdir(CLEANUP => 1);
my %tiny = (
	n_layers => 2, hidden_size => 64, n_heads => 4, n_kv_heads => 2,
	ffn_dim => 96, vocab_size => 300, tied_embeddings => JSON::PP::true,
	name => 'unknown keys are ignored');

# Runs the engine; answers exit code, standard output, standard error.
sub engine
{
	my @arguments = @_;
	my $pid = fork() // die "fork: $!";

	if ($pid == 0)
	{
		open(STDOUT, '>', "$folder/out") or die;
		open(STDERR, '>', "$folder/err") or die;
		exec($engine, @arguments) or die "could not run $engine: $!";
	}
	waitpid($pid, 0);
	return ($? & 127 ? "signal $?" : $? >> 8, slurp("$folder/out"), slurp("$folder/err"));
}

sub slurp
{
	my ($path) = @_;

	open(my $file, '<:raw', $path) or die "$path: $!";
	local $/;
	return <$file> // '';
}

sub architecture
{
	my %changes = @_;
	my %architecture = (%tiny, %changes);

	delete @architecture{ grep { !defined $changes{$_} && exists $changes{$_} } keys %changes };
	return encode_json(\%architecture);
}

sub run_tiny
{
	my (%options) = @_;
	my %all = (
		'--architecture' => architecture(), '--batch-size' => 2, '--input-tokens' => 9,
		'--output-tokens' => 5, '--budget' => 0.3, '--threads' => 1, %options);

	return engine(map { ($_, $all{$_}) } grep { defined $all{$_} } sort keys %all);
}

# A run that must fail: its exit code, what it says, and nothing on standard output.
sub refused
{
	my ($name, $expected, $pattern, @result) = @_;
	my ($code, $out, $err) = @result;

	is($code, $expected, "$name: exit code");
	like($err, $pattern, "$name: message");
	is($out, '', "$name: no output");
	return;
}

sub measured
{
	my ($name, @result) = @_;
	my ($code, $out, $err) = @result;

	is($code, 0, "$name: exit code") or diag($err);
	is($out =~ tr/\n//, 1, "$name: one line");
	my $json = eval { decode_json($out) };
	is(ref $json, 'HASH', "$name: one JSON object") or BAIL_OUT("$out$err");
	return $json;
}

# ---- what needs no run ----

my ($code, $out, $err) = engine('--version');
is($code, 0, 'version: exit code');
my ($version) = slurp('benchorch.control') =~ /default_version\s*=\s*'([^']+)'/;
is($out, "benchorch-engine $version\n", 'the version is the control file\'s');

($code, $out, $err) = engine('--help');
is($code, 0, 'help: exit code');
like($out, qr/mixture of experts is refused/, 'help says what is refused');
like($out, qr/--\Q$_\E\b/, "help names --$_")
  for qw(architecture model batch-size input-tokens output-tokens precision seed threads budget backend output calibrate kernels pin no-blas stream);

# ---- what is refused ----

refused('no arguments', 64, qr/required/, engine());
refused('unknown option', 64, qr/see --help/, engine('--frobnicate'));
refused('stray word', 64, qr/"word" is no option/, engine('word'));
refused('batch size that is no number', 64, qr/--batch-size needs a whole number, not "4x"/, run_tiny('--batch-size' => '4x'));
refused('unknown backend', 64, qr/no backend "tpu"/, run_tiny('--backend' => 'tpu'));
refused('a backend that is not there', 72, qr/backend "cuda" was not built: there is no \/nowhere\/benchorch-engine-cuda\.so/,
	do { local $ENV{BENCHORCH_ENGINE_PLUGINS} = '/nowhere'; run_tiny('--backend' => 'cuda') });
refused('unknown kernels', 64, qr/no kernels "mmx"/, run_tiny('--kernels' => 'mmx'));
refused('budget 0', 64, qr/--budget/, run_tiny('--budget' => 0));
refused('budget nan', 64, qr/--budget/, run_tiny('--budget' => 'nan'));
refused('threads 0', 64, qr/--threads/, run_tiny('--threads' => 0));
refused('batch size 0', 65, qr/batch size must be from 1 to 64/, run_tiny('--batch-size' => 0));
refused('batch size 65', 66, qr/batch size must be from 1 to 64, not 65/, run_tiny('--batch-size' => 65));
refused('negative batch size', 65, qr/out of range/, run_tiny('--batch-size' => -3));
refused('no input tokens', 65, qr/at least 1/, run_tiny('--input-tokens' => 0));
refused('no output tokens', 65, qr/at least 1/, run_tiny('--output-tokens' => 0));
refused('precision fp8', 66, qr/"fp8" is not supported/, run_tiny('--precision' => 'fp8'));
refused('architecture that is no JSON', 65, qr/invalid JSON at byte 13/, run_tiny('--architecture' => '{"n_layers": }'));
refused('half an object', 65, qr/invalid JSON/, run_tiny('--architecture' => '{"n_layers": 2'));
refused('text after the object', 65, qr/text after/, run_tiny('--architecture' => architecture() . 'x'));
refused('architecture that is an array', 65, qr/must be a JSON object/, run_tiny('--architecture' => '[1]'));
refused('deep nesting', 65, qr/nested too deeply/, run_tiny('--architecture' => '[' x 100000));
refused('missing keys', 65, qr/lacks "hidden_size", "ffn_dim"/,
	run_tiny('--architecture' => architecture(hidden_size => undef, ffn_dim => undef)));
refused('a fraction of a layer', 65, qr/"n_layers" must be an integer/, run_tiny('--architecture' => architecture(n_layers => 1.5)));
refused('layers as text', 65, qr/"n_layers" must be an integer/, run_tiny('--architecture' => architecture(n_layers => 'two')));
refused('negative layers', 65, qr/"n_layers" must be an integer/, run_tiny('--architecture' => architecture(n_layers => -1)));
refused('a flag that is a number', 65, qr/"tied_embeddings" must be true or false/,
	run_tiny('--architecture' => architecture(tied_embeddings => 7)));
refused('heads that cannot be shared', 65, qr/n_heads 4 is not a multiple of n_kv_heads 3/,
	run_tiny('--architecture' => architecture(n_kv_heads => 3)));
refused('odd head size', 66, qr/head_dim 15 is odd/, run_tiny('--architecture' => architecture(head_dim => 15)));
refused('mixture of experts', 66, qr/mixture of experts is not supported/,
	run_tiny('--architecture' => architecture(n_experts => 8, experts_per_token => 2, moe_ffn_dim => 64)));
refused('missing file', 65, qr/could not open "$folder\/none"/, run_tiny('--architecture' => "\@$folder/none"));

my $huge = encode_json({
	n_layers => 126, hidden_size => 16384, n_heads => 128, n_kv_heads => 8,
	ffn_dim => 53248, vocab_size => 128256 });
my @result = run_tiny('--architecture' => $huge, '--batch-size' => 64, '--input-tokens' => 500_000);
refused('far too large', 69, qr/does not fit: weights [\d.]+ \+ KV cache [\d.]+ .* GiB, available/, @result);
my ($line) = $result[2] =~ /^(\{.*\})$/m;
my $oom = decode_json($line // '{}');
is($oom->{outcome}, 'host_oom', 'far too large: outcome for programs');
is($oom->{needed_bytes}, sum(@$oom{qw(weights_bytes kv_cache_bytes activations_bytes library_bytes)}),
	'far too large: the arithmetic adds up');

# ---- what is measured ----

my $json = measured('tiny', run_tiny('--model' => "\"quoted\" \xff\n", '--seed' => 42));
is($json->{tool}, 'benchorch-engine', 'tool');
is($json->{schema}, 1, 'schema');
is($json->{version}, $version, 'version');
is($json->{model}, "\"quoted\" \x{fffd}\n", 'any model name is valid JSON');
is($json->{precision}, 'fp32', 'fp32 is the default');
is($json->{seed}, 42, 'seed');
is($json->{parameters}, 300 * 64 + 2 * (64 * 128 + 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64, 'parameters');
is($json->{requests_completed}, 2 * $json->{repeats}, 'requests are repeats × batch');
is($json->{requests_failed}, 0, 'none failed');
is($json->{input_tokens}, 9 * $json->{requests_completed}, 'input tokens');
is($json->{output_tokens}, 5 * $json->{requests_completed}, 'output tokens');
cmp_ok($json->{output_tokens} / $json->{duration_s}, '==', $json->{output_tokens_per_s}, 'output tokens ÷ duration');
cmp_ok(($json->{input_tokens} + $json->{output_tokens}) / $json->{duration_s}, '==',
	$json->{total_tokens_per_s}, 'all tokens ÷ duration');
cmp_ok($json->{requests_completed} / $json->{duration_s}, '==', $json->{requests_per_s}, 'requests ÷ duration');
cmp_ok(abs($json->{concurrency_mean} / 2 - 1), '<', 1e-9, 'concurrency is the batch');
like($json->{stop_reason}, qr/^(precision|noise_stable|budget)$/, 'stop reason');
is(defined $json->{noise_rel}, $json->{repeats} >= 3, 'noise from three repeats on');
cmp_ok($json->{host_memory_peak_bytes}, '>', $json->{memory}{weights_bytes}, 'memory holds the weights');

cmp_ok($json->{setup_s}, '>', 0, 'how long it took to be ready');
cmp_ok($json->{warm_up_s}, '>', 0, 'and to be warm');
is($json->{gpu_memory_peak_bytes}, undef, 'no GPU, no GPU memory');
ok(exists $json->{$_}, "says $_, if only null")
  for qw(energy_j throttled_share power_capped_share burst_output_tokens_per_s sustained_output_tokens_per_s);
is($json->{sustained_output_tokens_per_s}, undef, 'nothing is sustained in a third of a second');

my $samples = $json->{samples};
my $shown = $json->{repeats} < 1000 ? $json->{repeats} : 1000;
is(scalar @{ $samples->{ttft_ms} }, $shown, 'a sample per repeat');
is($samples->{itl_count}, 4 * $json->{repeats}, 'a gap per step');
cmp_ok(abs($samples->{ttft_ms}[0] + 4 * $samples->{tpot_ms}[0] - $samples->{e2e_ms}[0]), '<',
	1e-4 * $samples->{e2e_ms}[0], 'e2e = ttft + tpot × (tokens − 1)');
cmp_ok(abs($json->{e2e_ms}{mean} * $json->{requests_completed} / 2000 / $json->{duration_s} - 1), '<', 1e-9,
	'duration is the sum of the repeats');
for my $metric (qw(ttft_ms tpot_ms itl_ms e2e_ms))
{
	my $s = $json->{$metric};
	my @ordered = map { $s->{$_} } grep { exists $s->{$_} } qw(p10 p50 p90 p95 p99);

	is(join(' ', @ordered), join(' ', sort { $a <=> $b } @ordered), "$metric: percentiles rise");
	cmp_ok($s->{mean}, '>', 0, "$metric: mean");
}
ok(exists $json->{environment}{$_}, "environment says $_")
  for qw(cpu_model cpus threads kernels waiting blas_library blas_corename matrix_product others_busy_cpus);

$json = measured('one output token', run_tiny('--output-tokens' => 1));
is($json->{tpot_ms}{$_}, undef, "one output token: tpot $_ is null") for qw(mean p50 p90 p95 p99);
is($json->{itl_ms}{$_}, undef, "one output token: itl $_ is null") for qw(mean p50 p95 p99);
is($json->{roofline_decode_measured}, undef, 'one output token: no decode bound');
is_deeply($json->{samples}{tpot_ms}, [], 'one output token: no tpot samples');
cmp_ok($json->{ttft_ms}{p50}, '==', $json->{e2e_ms}{p50}, 'one output token: e2e is ttft');

$json = measured('a tiny budget', run_tiny('--budget' => 1e-6));
is($json->{repeats}, 1, 'a tiny budget still has one repeat');
is($json->{stop_reason}, 'budget', 'a tiny budget is the reason to stop');
is($json->{$_}, undef, "a tiny budget has no $_") for qw(noise_rel roofline_prefill_measured roofline_decode_measured);

# ---- the same model however it is run ----

my %checksum;
for my $kernels (qw(plain avx2 avx512))
{
	my @run = run_tiny('--kernels' => $kernels, '--precision' => 'bf16');

  SKIP:
	{
		skip("this CPU has no $kernels", 4) if $run[0] == 64;
		my $result = measured("kernels $kernels", @run);
		is($result->{environment}{kernels}, $kernels, "kernels $kernels: used");
		$checksum{$kernels} = $result->{logits_checksum};
	}
}
cmp_ok(abs($checksum{$_} - $checksum{plain}), '<', 1e-3, "$_ computes what plain does") for sort keys %checksum;
my $other = measured('another seed', run_tiny('--kernels' => 'plain', '--precision' => 'bf16', '--seed' => 2));
cmp_ok(abs($other->{logits_checksum} - $checksum{plain}), '>', 1e-3, 'another seed is another model');

$json = measured('pinned', engine('--pin', '--architecture', architecture(), '--batch-size', 2, '--input-tokens', 9,
	'--output-tokens', 5, '--budget', 0.3, '--threads', 2, '--kernels', 'plain', '--precision', 'bf16'));
is($json->{environment}{waiting}, 'pinned', 'pinned: said so');
cmp_ok(abs($json->{logits_checksum} - $checksum{plain}), '<', 1e-6, 'pinned: the same model');

# ---- OpenBLAS ----

SKIP:
{
	skip('there is no AVX2 or no OpenBLAS here', 8) if !exists $checksum{avx2} || $json->{environment}{matrix_product} ne 'openblas';
	local $ENV{OPENBLAS_CORETYPE} = 'Prescott';
	$json = measured('slow kernels that happen to be set', run_tiny());
	unlike($json->{environment}{blas_corename}, qr/prescott/i, 'slow kernels that happen to be set: not taken');
	local $ENV{BENCHORCH_BLAS_CORETYPE} = 'Haswell';
	$json = measured('kernels that are meant', run_tiny());
	is($json->{environment}{blas_corename}, 'Haswell', 'kernels that are meant: taken, and said');
}

# ---- files ----

open(my $file, '>', "$folder/architecture.json") or die;
print $file architecture();
close($file);
($code, $out, $err) = run_tiny('--architecture' => "\@$folder/architecture.json", '--output' => "$folder/result.json");
is($code, 0, 'files: exit code');
is($out, '', 'files: nothing on standard output');
is(decode_json(slurp("$folder/result.json"))->{batch_size}, 2, 'files: the result is in the file');
refused('unwritable result', 70, qr/could not write \/dev\/full/, run_tiny('--output' => '/dev/full'));

$json = measured('calibrate', engine('--calibrate', '--budget', 1, '--threads', 1, '--architecture', architecture()));
cmp_ok($json->{calibration}{$_}, '>', 0, "calibrate: $_") for qw(read_bytes_per_s copy_bytes_per_s flops_per_s);
# the matrices with the head, and keys and values of two tokens
is($json->{calibration}{read_footprint_bytes}, 4 * (300 * 64 + 2 * (64 * 128 + 64 * 64 + 3 * 64 * 96)) + 2 * 4 * 2 * 2 * 2 * 16,
	'calibrate: reads what a step of this model reads');

done_testing();
