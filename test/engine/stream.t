#!/usr/bin/perl
#
# stream.t: benchorch-engine as a runner of the stream protocol: a config line
# in, one answer line out, while the weights stay.

use strict;
use warnings;

use File::Temp qw(tempdir);
use IPC::Open2;
use JSON::PP;
use Test::More;

my $engine = $ENV{BENCHORCH_ENGINE} // 'build/benchorch-engine';
my $folder = tempdir(CLEANUP => 1);
my %tiny = (
	n_layers => 2, hidden_size => 64, n_heads => 4, n_kv_heads => 2,
	ffn_dim => 96, vocab_size => 300, tied_embeddings => JSON::PP::true);
my %config = (
	config_id => 17, attempt => 1, model_name => 'tiny', architecture => \%tiny, hardware => undef, framework => 'benchorch-engine',
	batch_size => 2, sequence_length => 14, input_tokens => 9, output_tokens => 5, num_prompts => 32, gpus => 1,
	seed => 17, deadline_s => 60, params => { precision => 'fp32', budget => '0.2' });
my ($pid, $to, $from);

# Starts a runner and waits until it is ready.
sub start
{
	my @arguments = @_;

	open(my $err, '>', "$folder/err") or die;
	open(my $saved, '>&', \*STDERR) or die;
	open(STDERR, '>&', $err) or die;
	$pid = open2($from, $to, $engine, '--stream', '--threads', 1, @arguments);
	open(STDERR, '>&', $saved) or die;
	is(scalar <$from>, "ready 1\n", "ready: @arguments");
	return;
}

# Closes the runner's input; answers its exit code.
sub finish
{
	close($to);
	my @rest = <$from>;
	is("@rest", '', 'nothing after the last answer');
	waitpid($pid, 0);
	return $? & 127 ? "signal $?" : $? >> 8;
}

sub ask
{
	my ($line) = @_;

	print $to "$line\n";
	$to->flush;
	return scalar <$from>;
}

sub config
{
	my %changes = @_;

	return encode_json({ %config, %changes });
}

sub measured
{
	my ($name, %changes) = @_;
	my $answer = ask(config(%changes));

	like($answer, qr/^\{.*\}\n$/, "$name: a result") or BAIL_OUT("$name: $answer");
	return decode_json($answer);
}

sub refused
{
	my ($name, $outcome, $pattern, $line) = @_;
	my $answer = ask($line);

	like($answer, qr/^error $outcome /, "$name: outcome");
	like($answer, $pattern, "$name: message");
	return;
}

sub log_of
{
	open(my $file, '<', "$folder/err") or die;
	local $/;
	return <$file> // '';
}

start('--seed', 3);
my $first = measured('first');
is($first->{tool}, 'benchorch-engine', 'first: tool');
is($first->{model}, 'tiny', 'first: model');
is($first->{seed}, 17, 'first: the config\'s seed is that of the tokens');
is($first->{weights_seed}, 3, 'first: the command line\'s is that of the weights');
is($first->{budget_s}, 0.2, 'first: params.budget, though it is text');

my $again = measured('again');
is($again->{logits_checksum}, $first->{logits_checksum}, 'again: the same config computes the same');
my $other = measured('other tokens', seed => 18);
isnt($other->{logits_checksum}, $first->{logits_checksum}, 'other tokens: other logits');

my $larger = measured('larger', batch_size => 5, input_tokens => 30);
is($larger->{batch_size}, 5, 'larger: its batch');
my $smaller = measured('smaller after larger');
is($smaller->{logits_checksum}, $first->{logits_checksum}, 'smaller after larger: nothing of it is left behind');
my $half = measured('another precision', params => { precision => 'bf16', budget => 0.2 });
is($half->{precision}, 'bf16', 'another precision: used');
my $back = measured('back');
is($back->{logits_checksum}, $first->{logits_checksum}, 'back: the weights are made again as they were');
my $deeper = measured('another shape', architecture => { %tiny, n_layers => 3 });
cmp_ok($deeper->{parameters}, '>', $first->{parameters}, 'another shape: used');

# what fails is answered, and the next config runs
refused('no JSON', 'bad_config', qr/invalid JSON at byte/, 'no config');
refused('an array', 'bad_config', qr/must be a JSON object/, '[1]');
refused('an empty line', 'bad_config', qr/./, '');
refused('no architecture', 'bad_config', qr/lacks one of architecture/, config(architecture => undef));
refused('no batch', 'bad_config', qr/lacks one of/, config(batch_size => undef));
refused('half a batch', 'bad_config', qr/"batch_size" must be an integer/, config(batch_size => 1.5));
refused('a batch of text', 'bad_config', qr/"batch_size" must be an integer/, config(batch_size => 'four'));
refused('batch 65', 'unsupported', qr/from 1 to 64, not 65/, config(batch_size => 65));
refused('precision fp8', 'unsupported', qr/"fp8" is not supported/, config(params => { precision => 'fp8' }));
refused('precision 8', 'bad_config', qr/must be a string/, config(params => { precision => 8 }));
refused('budget none', 'bad_config', qr/params\.budget/, config(params => { budget => 'none' }));
refused('a mixture of experts', 'unsupported', qr/mixture of experts/,
	config(architecture => { %tiny, n_experts => 8, experts_per_token => 2, moe_ffn_dim => 64 }));
refused('far too large', 'host_oom', qr/does not fit: weights [\d.]+ \+ KV cache/,
	config(architecture => { n_layers => 126, hidden_size => 16384, n_heads => 128, n_kv_heads => 8, ffn_dim => 53248, vocab_size => 128256 }));
like(log_of(), qr/^\{"outcome":"host_oom","needed_bytes":\d+/m, 'far too large: the numbers are in the log');
is(measured('after the failures')->{logits_checksum}, $first->{logits_checksum}, 'after the failures: as before');
is(finish(), 0, 'the end of its input ends it');

# what the command line says holds where a line does not
start('--architecture', encode_json(\%tiny), '--precision', 'bf16', '--budget', 0.2, '--seed', 3);
my $given = measured('the command line\'s', architecture => undef, params => {}, seed => 17);
is($given->{precision}, 'bf16', 'the command line\'s precision');
is($given->{logits_checksum}, $half->{logits_checksum}, 'the command line\'s shape and seed');
is(finish(), 0, 'ends');

start('--architecture', encode_json({ %tiny, n_experts => 8, experts_per_token => 2, moe_ffn_dim => 64 }));
like(log_of(), qr/no model is loaded: a mixture of experts/, 'a model that cannot be loaded is said in the log');
refused('and is each config\'s outcome', 'unsupported', qr/mixture of experts/, config(architecture => undef));
is(finish(), 0, 'ends');

done_testing();
