# Broken results: truncated, of wrong types, with huge numbers, nested without end, 50 MB long.  Each gets a clear
# error or NULL metrics; nothing crashes, and no wrong number stands in a column.
#
# Documents of our own (and the published samples, where they are there) are changed at random, from a seed that is
# printed; BENCHORCH_BROKEN_SEED sets it, BENCHORCH_BROKEN_ROUNDS how many changes of each kind a document gets.
use strict;
use warnings FATAL => 'all';

use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{BENCHORCH_BROKEN_SEED} // 20261121;
my $rounds = $ENV{BENCHORCH_BROKEN_ROUNDS} // 20;
srand($seed);
note("seed $seed, $rounds rounds");

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');
my $started = sql('SELECT pg_postmaster_start_time()');
my $json = JSON::PP->new->canonical->allow_nonref->allow_bignum;
my @metrics = split /\n/, sql('SELECT metric FROM benchorch.metric_names()');

# a consistent document for each shape of output: 30 requests of 500 + 100 tokens in 10 s
my %documents = (
	'vllm-serve' => { backend => 'vllm', num_prompts => 30, request_rate => 'inf', duration => 10.0, completed => 30, total_input_tokens => 15000,
		total_output_tokens => 3000, request_throughput => 3.0, output_throughput => 300.0, total_token_throughput => 1800.0,
		mean_ttft_ms => 54.5, median_ttft_ms => 52.25, p99_ttft_ms => 98, mean_tpot_ms => 13.75, median_tpot_ms => 13.5, mean_itl_ms => 13.6 },
	'sglang-serving' => { backend => 'sglang', duration => 10.0, completed => 30, total_input_tokens => 15000, total_output_tokens => 3000,
		total_output_tokens_retokenized => 2990, output_throughput => 300.0, mean_e2e_latency_ms => 1410.0, median_e2e_latency_ms => 1400,
		median_ttft_ms => 52.25 },
	'sglang-one-batch' => { run_name => 'r', batch_size => 16, input_len => 512, output_len => 32, prefill_latency => 0.1,
		median_decode_latency => 0.0125, total_latency => 0.5, overall_throughput => 17408 },
	'trtllm-bench' => { request_info => { num_requests => 30, avg_input_length => 500, avg_output_length => 100, avg_num_concurrent_requests => 4.5 },
		performance => { total_latency_ms => 10000.0, avg_request_latency_ms => 1500.0, request_throughput_req_s => 3.0, system_output_throughput_tok_s => 300.0,
			system_total_throughput_tok_s => 1800.0, request_latency_percentiles_ms => { p50 => 1490.0, p99 => 1600.0 } },
		streaming_metrics => { avg_ttft_ms => 45.5, avg_tpot_ms => 14.0, ttft_percentiles => { p50 => 45.0 } } },
	'genai-perf' => { request_throughput => { unit => 'requests/sec', avg => 3.0 }, request_latency => { unit => 'ms', avg => 1400.5, p50 => 1390 },
		time_to_first_token => { unit => 'ms', avg => 54.5, p50 => 52 }, inter_token_latency => { unit => 'ms', avg => 13.5 },
		request_count => { unit => 'requests', avg => 30 } },
	'inference-perf' => { load_summary => { count => 30 }, successes => { count => 30, latency => { request_latency => { mean => 1.4, median => 1.39 },
				time_to_first_token => { mean => 0.0545, median => 0.052 } }, throughput => { output_tokens_per_sec => 300.0, requests_per_sec => 3.0 } },
		failures => { count => 0 } },
	'requests' => { duration_s => 10, requests => [map { +{ ttft_s => 0.05, e2e_s => 1.4, input_tokens => 500, output_tokens => 100 } } 1 .. 30] },
	'canonical' => { ttft_p50_ms => 52.25, tpot_p50_ms => 13.5, output_tokens_per_s => 300 });
my %texts = map { $_ => $json->encode($documents{$_}) } keys %documents;
my $samples = ($ENV{BENCHORCH_SHARED} // '../shared') . '/samples';
foreach my $file (glob "$samples/*.json $samples/*.jsonl $samples/*.txt")
{
	$texts{ $file =~ s{.*/}{}r } = slurp_file($file);
}
note(-d $samples ? 'with the published samples' : "without the published samples: $samples is not there");

# All places of numbers in a decoded document, as subroutines that replace them.
sub places
{
	my ($node, $found) = @_;
	my @keys = ref $node eq 'HASH' ? sort keys %$node : ref $node eq 'ARRAY' ? (0 .. ($#$node > 40 ? 40 : $#$node)) : ();
	foreach my $key (@keys)
	{
		my $at = ref $node eq 'HASH' ? \$node->{$key} : \$node->[$key];
		if (ref $$at eq 'HASH' || ref $$at eq 'ARRAY') { places($$at, $found); }
		elsif (defined $$at && $$at =~ /^-?[\d.]+([eE][-+]?\d+)?$/) { push @$found, $at; }
	}
	return $found;
}
my @junk = map { $json->decode($_) } ('null', '"abc"', '""', '"12 ms"', '[]', '[1, 2]', '{}', '{"a": 1}', 'true', '-1', '-0.5', '"NaN"', '"inf"', '1e400', '" 7"', '"0x10"');

# Imports texts; returns for each [sqlstate, message, {metric => value}].
sub import_all
{
	my @items = map { +{ output => $_, source => "broken " . $main::number++ } } @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/items';
	open my $out, '>', $file or die;
	# latin-1 in, so that every byte is a character
	print $out JSON::PP->new->ascii->encode(\@items);
	close $out;
	my @answers = map { [split /\t/, $_, -1] } split /\n/, sql(<<"SQL");
\\pset format unaligned
\\pset fieldsep '\\t'
CREATE TEMP TABLE answer AS SELECT * FROM benchorch.import_results(pg_read_file('$file')::jsonb);
SELECT a.sqlstate, regexp_replace(a.message, E'[\\n\\t]', ' ', 'g'), @{[join ', ', map { "r.$_" } @metrics]}
FROM answer AS a LEFT JOIN benchorch.benchmark_results AS r ON r.id = a.result_id ORDER BY a.item;
SQL
	return map { my ($state, $message, @values) = @$_; my %got; @got{@metrics} = @values; [$state, $message, \%got] } @answers;
}
our $number = 0;

foreach my $name (sort keys %texts)
{
	my $text = $texts{$name};
	my ($whole) = import_all($text);
	is($whole->[0], '', "$name: whole");
	my %true = %{ $whole->[2] };

	# one number becomes something that is none: what it was is NULL, or follows from the sums; the rest stays
	my ($last) = $text =~ /^\s*[\[{]/ ? grep { eval { $json->decode($_) } } $text, (split /\n/, $text)[-1] : ();
	my @changed;
	if ($last)
	{
		foreach (1 .. $rounds)
		{
			my $document = $json->decode($last);
			my $places = places($document, []);
			my $at = $places->[rand @$places];
			$$at = $junk[rand @junk];
			push @changed, $json->encode($document) =~ s/"?1e400"?|Infinity/1e400/r;
		}
		my @wrong;
		my @answers = import_all(@changed);
		foreach my $i (0 .. $#answers)
		{
			my ($state, $message, $got) = @{ $answers[$i] };
			if ($state ne '') { push @wrong, "$state $message" if $state !~ /^(22P02|22023)$/; next; }
			foreach my $metric (@metrics)
			{
				my ($value, $want) = ($got->{$metric}, $true{$metric});
				next if $value eq '';
				# a sum that is gone makes other figures of other sums, but never one that is far off
				push @wrong, "$metric is $value, was " . ($want eq '' ? 'NULL' : $want) . ' in ' . substr($changed[$i], 0, 2000)
					if $want eq '' ? $metric !~ /_per_s$|concurrency/ : abs($value - $want) > 0.05 * $want + 1e-12;
			}
		}
		is(scalar(@answers), scalar(@changed), "$name: every document with one value of a wrong type is answered");
		# two contradicting figures of one sample are no measure; mean x count is another sum
		is(join("\n", $name eq 'vllm_bench_throughput.json' ? () : @wrong), '', "$name: and none of their values is wrong");
	}

	# cut short, bytes changed, bytes inserted: an error with a position, or numbers that can stand in a column
	my @damaged;
	foreach (1 .. $rounds)
	{
		my $bytes = $text;
		my $at = int rand length $bytes;
		my $kind = int rand 4;
		if ($kind == 0) { $bytes = substr $bytes, 0, $at; }
		elsif ($kind == 1) { substr($bytes, $at, 1) = chr(1 + rand 254); }
		elsif ($kind == 2) { substr($bytes, $at, 0) = join '', map { chr(1 + rand 254) } 1 .. 1 + rand 20; }
		else { substr($bytes, $at, 1 + rand 40) = ''; }
		push @damaged, $bytes;
	}
	my (@odd, @silent);
	foreach my $answer (import_all(@damaged))
	{
		my ($state, $message, $got) = @$answer;
		if ($state ne '')
		{
			push @odd, "$state $message" if $state !~ /^(22P02|22023)$/;
			push @silent, $message if $state eq '22P02' && $message !~ /at byte \d+, line \d+|no output|no JSON object/;
		}
		push @odd, map { "$_ $got->{$_}" } grep { $got->{$_} ne '' && $got->{$_} !~ /^\d+(\.\d+)?(e[-+]?\d+)?$/ } @metrics;
	}
	is("@odd", '', "$name: $rounds damaged ones: an error that is expected, or sane numbers");
	is("@silent", '', "$name: and an error says where");
}

# the large and the deep, through the call that workers use too
sub fate
{
	my ($what, $bytes, $state, $message) = @_;
	my ($code, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\nSELECT (benchorch.import_result($bytes)).result_id IS NOT NULL");
	$error =~ s/\n.*//s;
	like($code == 0 ? $out : $error, $state ? qr/ERROR:  $state: .*$message/ : qr/^t$/, $what);
}
fate('deep nesting', q~convert_to(repeat('{"a":', 100000), 'UTF8')~, '22P02', 'nested deeper than 500 at byte 2501, line 1');
fate('deep nesting that closes', q~convert_to(repeat('[', 100000) || repeat(']', 100000), 'UTF8')~, '22P02', 'nested deeper');
fate('50 MB of a string', q~convert_to('{"output_throughput": 5, "x": "' || repeat('0123456789', 5000000) || '"}', 'UTF8')~);
fate('50 MB that end too early', q~convert_to('{"x": "' || repeat('0123456789', 5000000), 'UTF8')~, '22P02', 'string does not end at byte 500000');
fate('50 MB of numbers', q~convert_to('{"x": [' || repeat('1.5, ', 10000000) || '1]}', 'UTF8')~, '22P02', 'more than a jsonb can hold');
fate('50 MB of lines', q~convert_to(repeat(E'{"output_throughput": 5}\n', 2000000), 'UTF8')~);
fate('50 MB of log', q~convert_to(repeat(E'INFO [12] {x} step\n', 2600000) || '{"output_throughput": 5}', 'UTF8')~);
fate('50 MB of zeros', q{decode(repeat('00', 50000000), 'hex')}, '22P02', 'no JSON object');
fate('a number of 2000 digits', q~convert_to('{"x": ' || repeat('9', 2000) || '}', 'UTF8')~, '22P02', 'number of more than 1000 digits at byte 7');
is(sql(q{SELECT output_tokens_per_s IS NULL AND duration_s IS NULL AND ttft_mean_ms IS NULL FROM benchorch.evaluate('vllm-serve',
	'{"output_throughput": 1e999, "duration": -1e999, "mean_ttft_ms": 1e-999}', NULL, NULL)}), 't', 'numbers beyond float8 are NULL');
is(sql('SELECT pg_postmaster_start_time()'), $started, 'nothing crashed');
is(sql('SELECT * FROM benchorch.check_invariants()'), '', 'the invariants hold');

done_testing();
