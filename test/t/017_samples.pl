# The published outputs of every benchmark tool (in shared/samples, not in this repository): read as they are,
# told apart, and normalized to values that were worked out by hand from the file.  Where a value is not printed
# as such, the expression beside it is the working.
use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $samples = ($ENV{BENCHORCH_SHARED} // '../shared') . '/samples';
plan skip_all => 'the sample outputs (shared/samples beside the repository, or below BENCHORCH_SHARED) are not there' if !-d $samples;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION benchorch');
sql('SELECT benchorch.seed_reference_data()');

# file => [adapter, tags, checks that fail, facts that must be reported, metrics; no other metric may have a value]
my %expected = (
	# the last of three lines: 900 requests in 28.861716763000004 s
	'vllm_bench_serve.jsonl' => ['vllm-serve', '', '', { model => 'meta-llama/Llama-3.2-3B-Instruct', input_tokens_mean => 999 }, {
			ttft_mean_ms => 4386.739448253334, ttft_p50_ms => 4066.1594384998807, ttft_p99_ms => 9951.535929819987,
			tpot_mean_ms => 61.81461881712581, tpot_p50_ms => 53.13592476507745, tpot_p99_ms => 118.56057960224177,
			itl_mean_ms => 48.16794500382424, itl_p50_ms => 37.264703000346344, itl_p99_ms => 134.96996935997225,
			requests_per_s => 900 / 28.861716763000004, output_tokens_per_s => 240165 / 28.861716763000004,
			total_tokens_per_s => (899100 + 240165) / 28.861716763000004, requests_completed => 900, requests_failed => 900 - 900,
			input_tokens => 899100, output_tokens => 240165, duration_s => 28.861716763000004 }],
	# its numbers contradict one another: 6514 tokens in 120.5 s are 54 tokens/s, not 1244.81
	'vllm_bench_throughput.json' => ['vllm-throughput', '', 'identity', { total_tokens => 6514 }, {
			requests_per_s => 8.30, output_tokens_per_s => 1072.15, total_tokens_per_s => 1244.81, requests_completed => 1000,
			input_tokens => 5014, output_tokens => 1500, duration_s => 120.5 }],
	# seconds
	'vllm_bench_latency.json' => ['vllm-latency', 'static_batch', '', {}, {
			e2e_mean_ms => 1001.2, e2e_p50_ms => 1000.3, e2e_p90_ms => 1003.58, e2e_p99_ms => 1004.318 }],
	# the last of six lines, the schema of December 2024: no rate of requests, no mean TTFT
	'sglang_bench_serving.jsonl' => ['sglang-serving', '', '', { dataset => 'sharegpt' }, {
			ttft_p50_ms => 294.7253850288689, itl_p50_ms => 108.0441779922694, e2e_mean_ms => 35253.47410455472,
			e2e_p50_ms => 22389.20643250458, requests_per_s => 2400 / 377.2264237909112, output_tokens_per_s => 1224.3946098961699,
			total_tokens_per_s => (540779 + 461874) / 377.2264237909112,
			concurrency_mean => 35.25347410455472 * 2400 / 377.2264237909112,
			requests_completed => 2400, input_tokens => 540779, output_tokens => 461874, duration_s => 377.2264237909112 }],
	# the last of five lines: 128 x (512 + 256) tokens in 2.190058946609497 s, of which 0.5792970657348633 s are the prefill
	'sglang_bench_one_batch.jsonl' => ['sglang-one-batch', 'static_batch', '', { batch_size => 128, input_tokens_mean => 512 }, {
			ttft_mean_ms => 579.2970657348633, tpot_mean_ms => (2190.058946609497 - 579.2970657348633) / 255,
			itl_p50_ms => 6.303548812866211, e2e_mean_ms => 2190.058946609497, requests_per_s => 128 / 2.190058946609497,
			output_tokens_per_s => 128 * 256 / 2.190058946609497, total_tokens_per_s => 44886.4630571646, concurrency_mean => 128,
			requests_completed => 128, input_tokens => 128 * 512, output_tokens => 128 * 256, duration_s => 2.190058946609497 }],
	'trtllm_bench_report.json' => ['trtllm-bench', 'e2e=nearest_rank,tpot=nearest_rank,ttft=nearest_rank', '',
		{ model => 'selftest/model', precision => 'NVFP4', kv_cache_dtype => 'FP8', tensor_parallel => 1, tool_version => '1.2' }, {
			(map { +"ttft_${_}_ms" => 4533.1, "tpot_${_}_ms" => 14.03, "e2e_${_}_ms" => 4743.5 } qw(mean p50 p90 p95 p99)),
			requests_per_s => 0.21, output_tokens_per_s => 3.37, total_tokens_per_s => 16.86, concurrency_mean => 1,
			requests_completed => 1, input_tokens => 64, output_tokens => 16, duration_s => 4.7435, energy_j => 56.1 }],
	# pp 512 and tg 128, each by itself; TPOT = 1076767880 ns / 128
	'llama-bench.json' => ['llama-bench', 'noise=stddev,output=decode_only,static_batch,tpot=decode_only,ttft=prefill', '',
		{ tool_version => '5163', weight_bytes => 4677120000, batch_size => 1 }, {
			ttft_mean_ms => 72.135640, tpot_mean_ms => 1076.767880 / 128, output_tokens_per_s => 118.881588,
			noise_rel => 1.041811 / 118.881588 }],
	# what it calls inter-token latency is our TPOT
	'genai_perf_profile_export.json' => ['genai-perf', '', '', {}, {
			ttft_mean_ms => 184.63779366666665, ttft_p50_ms => 172.8093975, ttft_p90_ms => 302.80112349999996, ttft_p95_ms => 351.02043655,
			ttft_p99_ms => 425.02943662, tpot_mean_ms => 2.1767344516666665, tpot_p50_ms => 2.1787205, tpot_p90_ms => 2.2333102,
			tpot_p95_ms => 2.2451001999999995, tpot_p99_ms => 2.2631232999999997, e2e_mean_ms => 5767.434807386666, e2e_p50_ms => 5778.654798,
			e2e_p90_ms => 5882.4496025, e2e_p95_ms => 5892.6711992499995, e2e_p99_ms => 5910.154859249999,
			requests_per_s => 17.222547659562533, output_tokens_per_s => 44190.56002502682 }],
	'aiperf_profile_export.json' => ['genai-perf', '', '', {}, {
			ttft_mean_ms => 44.166079325, ttft_p50_ms => 44.452151, ttft_p90_ms => 46.609212299999996, ttft_p95_ms => 46.909493299999994,
			ttft_p99_ms => 48.16844818, e2e_mean_ms => 6655.520201949999, e2e_p50_ms => 6653.8574435, e2e_p90_ms => 6659.798630899999,
			e2e_p95_ms => 6661.0045142, e2e_p99_ms => 6686.540937939999, requests_per_s => 0.14968841618235815, requests_completed => 80 }],
	# the second of two benchmarks: 2 requests of 8 tokens in 2.5186119079589844 s
	'guidellm_report.json' => ['guidellm',
		'e2e=nearest_rank,itl=nearest_rank,itl=request_mean,last_of_several,tpot=incl_first,tpot=nearest_rank,ttft=nearest_rank', '',
		{ tool_version => '0.8.0.dev18', model => 'e2e-mock-model' }, {
			ttft_mean_ms => 9.78386402130127, requests_per_s => 0.7940882013937378, requests_completed => 2, requests_failed => 0,
			output_tokens => 16, output_tokens_per_s => 16 / 2.5186119079589844, duration_s => 2.5186119079589844 }, 'more'],
	# prefill and decode apart; MB are 1e6 bytes; 10 repeats
	'optimum_benchmark_report.json' => ['optimum-benchmark', 'noise=stddev,output=decode_only,static_batch', '', {}, {
			ttft_mean_ms => 131.59777679443363, ttft_p50_ms => 131.60483551025393, ttft_p90_ms => 131.73436431884764,
			ttft_p95_ms => 131.74042739868165, ttft_p99_ms => 131.74527786254882, itl_mean_ms => 99.40907258471192,
			itl_p50_ms => 98.98547363281249, itl_p95_ms => 99.20511627197266, itl_p99_ms => 131.71405029296875,
			e2e_mean_ms => 131.59777679443363 + 6233.827343749999, output_tokens_per_s => 10.106150928797131,
			gpu_memory_peak_bytes => 144667705344, host_memory_peak_bytes => 2085175296, noise_rel => 0.0063683534051352 / 6.233827343749999 }],
	# seconds, whatever its documentation says; sums are means x 47002
	'inference-perf_summary_lifecycle_metrics.json' => ['inference-perf', '', '', { output_tokens_mean => 62.8230288072848 }, {
			ttft_mean_ms => 1543.453611754655, ttft_p50_ms => 2106.196197506506, ttft_p90_ms => 2357.9756015678868,
			ttft_p95_ms => 2683.7109992222395, ttft_p99_ms => 2739.5609611959664, tpot_mean_ms => 11.391460080056417,
			tpot_p50_ms => 12.646556813847418, tpot_p90_ms => 12.8691593674192, tpot_p95_ms => 12.913888227014059,
			tpot_p99_ms => 12.983355847523049, itl_mean_ms => 11.391460080056417, itl_p50_ms => 0.04709302447736263,
			itl_p95_ms => 38.198103237664316, itl_p99_ms => 75.15954797621802, e2e_mean_ms => 3014.152930309463,
			e2e_p50_ms => 3703.1164155341685, e2e_p90_ms => 4015.203145507257, e2e_p95_ms => 4326.164382300339,
			e2e_p99_ms => 4381.351204800885, requests_per_s => 73.96165655384814, output_tokens_per_s => 4646.495280316906,
			total_tokens_per_s => 19507.52145762111, requests_completed => 47002, requests_failed => 0,
			input_tokens => 9444055, output_tokens => 2952808 }],
	# seconds; its own throughput of a request is not tokens / e2e and is not read; 150 requests at 84.73327721639254 a minute
	'llmperf_summary.json' => ['llmperf', 'tpot=incl_first', '', { model => 'meta-llama/Llama-2-70b-chat-hf', input_tokens_mean => 550 }, {
			ttft_mean_ms => 248.90269464666667, ttft_p50_ms => 212.82956000001718, ttft_p90_ms => 321.2247440000169,
			ttft_p95_ms => 362.0083771999928, ttft_p99_ms => 474.5305190600024, tpot_mean_ms => 15.83612777604942,
			tpot_p50_ms => 14.559224685430442, tpot_p90_ms => 19.49744089139177, tpot_p95_ms => 22.717704197680943,
			tpot_p99_ms => 38.73539747323499, e2e_mean_ms => 2354.6667737533324, e2e_p50_ms => 2259.533027999993,
			e2e_p90_ms => 2941.864069399986, e2e_p95_ms => 3125.5705759999826, e2e_p99_ms => 3705.7007264000186,
			requests_per_s => 84.73327721639254 / 60, output_tokens_per_s => 207.52121071152493,
			duration_s => 150 * 60 / 84.73327721639254, requests_completed => 150, requests_failed => 0, input_tokens => 82500, output_tokens => 22042,
			total_tokens_per_s => (82500 + 22042) / (150 * 60 / 84.73327721639254),
			concurrency_mean => 2.3546667737533324 * 84.73327721639254 / 60 }],
	# seconds, and rates for each of 8 GPUs
	'inferencex_agg.json' => ['inferencex', '', '', { precision => 'fp8', tensor_parallel => 8, speculative => 'none' }, {
			ttft_p50_ms => 150.5, ttft_p99_ms => 250.3, tpot_p50_ms => 25, tpot_p99_ms => 45, e2e_p50_ms => 1500, e2e_p99_ms => 2500,
			output_tokens_per_s => 8 * 1500, total_tokens_per_s => 8 * 1875.0625 }],
	# no JSON; nanoseconds
	'mlperf_log_summary_server.txt' => ['mlperf', 'e2e=nearest_rank,tpot=nearest_rank,ttft=nearest_rank', '', { validity => 'VALID' }, {
			ttft_mean_ms => 918.456323, ttft_p50_ms => 875.073063, ttft_p90_ms => 1449.459253, ttft_p95_ms => 1588.066947,
			ttft_p99_ms => 1914.647645, tpot_mean_ms => 144.594078, tpot_p50_ms => 151.044504, tpot_p90_ms => 163.835875,
			tpot_p95_ms => 169.650352, tpot_p99_ms => 193.380124, e2e_mean_ms => 43579.602295, e2e_p50_ms => 38401.775522,
			e2e_p90_ms => 77996.405844, e2e_p95_ms => 95155.568225, e2e_p99_ms => 136069.232834, requests_per_s => 81.68,
			output_tokens_per_s => 24593.77 }]);

my @metrics = split /\n/, sql('SELECT metric FROM benchorch.metric_names()');
sub near { my ($a, $b) = @_; return abs($a - $b) <= 1e-9 * (abs($b) || 1); }

foreach my $file (sort keys %expected)
{
	my ($adapter, $tags, $flags, $facts, $values, $more) = @{ $expected{$file} };
	if (!-f "$samples/$file") { SKIP: { skip "$file is not among the samples", 1 }; next; }
	my $hex = unpack 'H*', slurp_file("$samples/$file");
	my $id = sql("SELECT result_id FROM benchorch.import_result('\\x$hex')");
	is(sql("SELECT encode(raw, 'hex') FROM benchorch.benchmark_results WHERE id = $id"), $hex, "$file: its bytes are kept");
	is(sql("SELECT adapter, array_to_string(method, ','), (SELECT coalesce(string_agg(k, ',' ORDER BY k), '') FROM jsonb_object_keys(flags) AS k)
		FROM benchorch.benchmark_results WHERE id = $id"), "$adapter|$tags|$flags", "$file: adapter, tags, checks that fail");
	is(sql("SELECT reported ->> '$_' FROM benchorch.benchmark_results WHERE id = $id"), $facts->{$_}, "$file: reports $_") foreach sort keys %$facts;
	my @got = split /\|/, sql('SELECT ' . join(', ', @metrics) . " FROM benchorch.benchmark_results WHERE id = $id"), -1;
	my @wrong;
	foreach my $i (0 .. $#metrics)
	{
		my $want = $values->{ $metrics[$i] };
		next if !defined $want && ($more || $got[$i] eq '');
		push @wrong, "$metrics[$i] is " . ($got[$i] eq '' ? 'NULL' : $got[$i]) . ', not ' . ($want // 'NULL')
			if !defined $want || $got[$i] eq '' || !near($got[$i], $want);
	}
	is("@wrong", '', "$file: " . keys(%$values) . ' metrics, and no others');
}
is(join(' ', grep { !exists $expected{$_} && $_ ne 'SOURCES.md' } map { s{.*/}{}r } glob "$samples/*"), '', 'there is no sample without expectations');

done_testing();
