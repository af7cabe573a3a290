/*
 * The check "physics": no result is faster than its hardware.
 *
 * A time of less than 0.98 of the bound of the roofline, or a rate of more
 * than 1.02 of the ceiling, cannot be.  Two kinds of tool:
 *
 *   static batch   (the tag static_batch) every time and rate, with the batch
 *                  as it is, on the GPUs that share the model
 *   served         TTFT and TPOT with a batch of 1 on all of the config's GPUs,
 *                  and the FLOPs of all completed requests over the duration
 *
 * Where both are given the median is compared, else the mean.  What lacks an
 * input is not evaluated, part by part.  The fractions of the roofline, bound
 * over measured, are by-products; for them a mixture of experts reads as many
 * experts as its batch needs, which for the check it does not have to.
 */
#include "benchorch.h"
#include "checks.h"
#include "roofline.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/float.h"

#define TIME_TOLERANCE 0.98
#define RATE_TOLERANCE 1.02

/* Where a machine does not tell its last-level cache, the largest that is known of a GPU (bytes). */
#define LARGEST_CACHE (256.0 * 1024 * 1024)

/* -------------------------------------------------------------- precisions */

double
benchorch_number_size(const char *word, const char **compute)
{
	static const struct
	{
		const char *word;
		const char *means;
	} names[] = {
		{"w8a8_fp8", "fp8"},
		{"fbgemm_fp8", "fp8"},
		{"fp8_e4m3fn", "fp8"},
		{"fp8_block_scales", "fp8"},
		{"awq", "int4"},
		{"awq_marlin", "int4"},
		{"w4a16", "int4"},
		{"w8a16", "int8"},
	};
	double		bytes;

	if (pg_strncasecmp(word, "torch.", 6) == 0)
		word += 6;
	for (int i = 0; i < lengthof(names); i++)
		if (pg_strcasecmp(word, names[i].word) == 0)
			word = names[i].means;
	bytes = benchorch_precision_bytes(word, strlen(word));
	/* weights alone in 4 or 8 bits compute in bf16 */
	if (pg_strncasecmp(word, "fp8", 3) == 0)
		*compute = "fp8";
	else if (pg_strcasecmp(word, "nvfp4") == 0 || pg_strcasecmp(word, "fp4") == 0 || pg_strcasecmp(word, "mxfp4") == 0)
		*compute = "nvfp4";
	else
		*compute = bytes == 4 ? "fp32" : "bf16";
	return bytes > 0 ? bytes : get_float8_nan();
}

/* What the tool reports, else what was asked; NULL where neither says more than auto. */
static const char *
word_of(const Case *c, Fact fact, const char *name)
{
	const char *word = c->metrics->texts[fact];

	if (word == NULL || pg_strcasecmp(word, "auto") == 0)
		word = benchorch_member_text(c->subject->params, name);
	return word == NULL || pg_strcasecmp(word, "auto") == 0 ? NULL : word;
}

/* Fills the model in the precision of the run, and the peak that it computes with; false where that cannot be told. */
static bool
choose_precision(Case *c, RooflineModel *model, RooflineRun *run)
{
	const Subject *s = c->subject;
	const char *word = word_of(c, FACT_precision, "precision");
	const char *kv_word = word_of(c, FACT_kv_cache_dtype, "kv_cache_dtype");
	double		reported_bytes = c->metrics->numbers[FACT_weight_bytes];
	const char *compute = NULL;
	const char *ignored;
	double		size = get_float8_nan();

	if (!s->has_shape)
	{
		benchorch_lacking(c, "the architecture is not in canonical keys");
		return false;
	}
	*model = s->shape;
	if (word && isnan(size = benchorch_number_size(word, &compute)))
	{
		benchorch_lacking(c, "precision \"%s\" has no known size", word);
		return false;
	}
	if (word)
	{
		model->weight_bytes = size;
		model->kv_bytes = size * s->kv_elements;
	}
	if (kv_word)
	{
		size = benchorch_number_size(kv_word, &ignored);
		if (isnan(size))
		{
			benchorch_lacking(c, "KV cache type \"%s\" has no known size", kv_word);
			return false;
		}
		model->kv_bytes = size * s->kv_elements;
	}
	if (!isnan(reported_bytes))
		model->weight_bytes = reported_bytes / s->parameters;
	if (compute == NULL && fabs(model->weight_bytes - 2) < 0.1)
		compute = "bf16";

	run->bandwidth = s->machine.bandwidth;
	run->flops = 0;
	if (compute && strcmp(compute, "bf16") == 0)
		run->flops = s->machine.bf16;
	else if (compute && strcmp(compute, "fp8") == 0)
		run->flops = s->machine.fp8;
	else if (compute && strcmp(compute, "nvfp4") == 0)
		run->flops = s->machine.nvfp4;
	if (compute == NULL)
		benchorch_lacking(c, "the compute type of weights of %.3g bytes is unknown", model->weight_bytes);
	else if (!(run->flops > 0))
		benchorch_lacking(c, "%s has no peak for %s", s->machine.name ? s->machine.name : "the hardware", compute);
	return compute != NULL && run->flops > 0;
}

/* --------------------------------------------------------------- comparisons */

/* The median where there is one, else the mean; *metric says which. */
static double
typical(const Metrics *m, Metric p50, Metric mean, Metric *metric)
{
	*metric = isnan(m->values[p50]) ? mean : p50;
	return m->values[*metric];
}

/* Bound and measured in ms.  True where there was something to compare. */
static bool
compare_time(Case *c, Metric p50, Metric mean, double bound)
{
	Metric		metric;
	double		measured = typical(c->metrics, p50, mean, &metric);

	if (isnan(measured) || isnan(bound))
		return false;
	if (measured < TIME_TOLERANCE * bound)
		benchorch_wrong(c, "\"%s\": {\"measured\": %s, \"bound\": %s}", benchorch_metric_name(metric),
						float8out_internal(measured), float8out_internal(bound));
	return true;
}

static bool
compare_rate(Case *c, Metric metric, double ceiling)
{
	double		measured = c->metrics->values[metric];

	if (isnan(measured) || isnan(ceiling))
		return false;
	if (measured > RATE_TOLERANCE * ceiling)
		benchorch_wrong(c, "\"%s\": {\"measured\": %s, \"ceiling\": %s}", benchorch_metric_name(metric),
						float8out_internal(measured), float8out_internal(ceiling));
	return true;
}

/* The fraction of the roofline, unless the tool says its own or it could not be. */
static void
set_fraction(Case *c, Metric fraction, Metric p50, Metric mean, double bound)
{
	Metric		metric;
	double		measured = typical(c->metrics, p50, mean, &metric);

	if (isnan(c->metrics->values[fraction]) && bound / measured <= RATE_TOLERANCE)
		c->metrics->values[fraction] = bound / measured;
}

/* -------------------------------------------------- what makes a bound moot */

/*
 * By how much speculative decoding may lower the time of a token: 1 where there
 * is none, the acceptance length where it is reported, else NaN.
 */
static double
speculation(const Case *c)
{
	static const char *const params[] = {"speculative", "speculative_model", "speculative_config",
										 "speculative_algorithm", "spec_decoding", "num_speculative_tokens"};
	double		acceptance = c->metrics->numbers[FACT_acceptance_length];
	const char *word = c->metrics->texts[FACT_speculative];

	if (acceptance >= 1)
		return acceptance;
	for (int i = 0; word == NULL && i < lengthof(params); i++)
	{
		word = benchorch_member_text(c->subject->params, params[i]);
		if (word == NULL && benchorch_member_object(c->subject->params, params[i]))
			word = "an object";
	}
	if (word == NULL || pg_strcasecmp(word, "none") == 0 || pg_strcasecmp(word, "false") == 0 ||
		strcmp(word, "0") == 0 || pg_strcasecmp(word, "off") == 0)
		return 1;
	return get_float8_nan();
}

/* Prompts that share nothing: token ids or words at random. */
static bool
distinct_prompts(const Case *c)
{
	static const char *const datasets[] = {"random", "random-ids", "random_ids", "synthetic", "synthetic_text"};
	const char *dataset = c->metrics->texts[FACT_dataset];

	if (dataset == NULL)
		dataset = c->subject->dataset;
	for (int i = 0; dataset && i < lengthof(datasets); i++)
		if (pg_strcasecmp(dataset, datasets[i]) == 0)
			return true;
	return false;
}

/* Whether a served prefill was one: no prefix was cached.  If not, says why. */
static bool
whole_prefill(Case *c)
{
	const char *word = c->metrics->texts[FACT_prefix_caching];

	if (distinct_prompts(c))
		return true;
	if (word == NULL)
		word = benchorch_member_text(c->subject->params, "prefix_caching");
	if (word == NULL)
		word = benchorch_member_text(c->subject->params, "enable_prefix_caching");
	if (word == NULL)
	{
		benchorch_lacking(c, "TTFT: neither is prefix caching known to be off, nor the prompts to be distinct");
		return false;
	}
	if (pg_strcasecmp(word, "false") == 0 || pg_strcasecmp(word, "off") == 0 || pg_strcasecmp(word, "none") == 0 ||
		strcmp(word, "0") == 0)
		return true;
	benchorch_lacking(c, "TTFT: prefix caching is on, and the prompts are not known to be distinct");
	MemoryContextSwitchTo(c->result_context);
	benchorch_add_tag(c->metrics, "prefix_cache");
	return false;
}

/* ------------------------------------------------------------ the two kinds */

/* A static batch: the formulas as they are. */
static bool
check_static(Case *c, const RooflineModel *model, RooflineRun *run, double parameters)
{
	const Metrics *m = c->metrics;
	double		replicas = m->numbers[FACT_data_parallel];
	double		batch = m->numbers[FACT_batch_size];
	double		context = m->numbers[FACT_decode_context];
	double		faster = speculation(c);
	double		ttft;
	double		tpot;
	double		e2e;
	bool		compared = false;
	RooflineRun decode;

	if (isnan(replicas))
		replicas = benchorch_member_number(c->subject->params, "data_parallel");
	if (!(replicas >= 1))
		replicas = 1;
	if (isnan(batch))
		batch = c->subject->batch_size;
	if (isnan(batch))
	{
		benchorch_lacking(c, "the batch size is unknown");
		return false;
	}
	run->batch_size = batch / replicas;
	run->gpus /= replicas;
	decode = *run;
	if (!isnan(context))
		decode.input_tokens = context;

	ttft = benchorch_roofline(model, run).ttft_s;
	tpot = benchorch_roofline(model, &decode).tpot_s / faster;
	e2e = ttft;
	if (run->output_tokens > 1)
		e2e += (run->output_tokens - 1) * benchorch_roofline(model, run).tpot_s / faster;
	if (isnan(faster))
		benchorch_lacking(c, "TPOT: speculative decoding without a reported acceptance length");

	compared |= compare_time(c, METRIC_ttft_p50_ms, METRIC_ttft_mean_ms, 1000 * ttft);
	compared |= compare_time(c, METRIC_tpot_p50_ms, METRIC_tpot_mean_ms,
							 1000 * (benchorch_has_tag(m, "tpot=incl_first") ? e2e / run->output_tokens : tpot));
	compared |= compare_time(c, METRIC_e2e_p50_ms, METRIC_e2e_mean_ms, 1000 * e2e);
	compared |= compare_rate(c, METRIC_output_tokens_per_s,
							 benchorch_has_tag(m, "output=decode_only") ? batch / tpot
																		: batch * run->output_tokens / e2e);
	compared |= compare_rate(c, METRIC_total_tokens_per_s, batch * (run->input_tokens + run->output_tokens) / e2e);
	if (!isnan(m->values[METRIC_gpu_memory_peak_bytes]))
	{
		double		kv = run->batch_size * (run->input_tokens + run->output_tokens - 1) * model->kv_bytes *
			(1 - model->sliding);
		double		bound = parameters * model->weight_bytes / run->gpus +
			kv / fmin(run->gpus, fmax(1, c->subject->kv_heads));

		if (m->values[METRIC_gpu_memory_peak_bytes] < TIME_TOLERANCE * bound)
			benchorch_wrong(c, "\"gpu_memory_peak_bytes\": {\"measured\": %.0f, \"bound\": %.0f}",
							m->values[METRIC_gpu_memory_peak_bytes], bound);
		compared = true;
	}

	run->expert_reads = decode.expert_reads = true;
	set_fraction(c, METRIC_roofline_prefill, METRIC_ttft_p50_ms, METRIC_ttft_mean_ms,
				 1000 * benchorch_roofline(model, run).ttft_s);
	if (!benchorch_has_tag(m, "tpot=incl_first"))
		set_fraction(c, METRIC_roofline_decode, METRIC_tpot_p50_ms, METRIC_tpot_mean_ms,
					 1000 * benchorch_roofline(model, &decode).tpot_s / faster);
	return compared;
}

/* A client against a server. */
static bool
check_served(Case *c, const RooflineModel *model, RooflineRun *run)
{
	const Metrics *m = c->metrics;
	bool		prefill = whole_prefill(c);
	double		faster = speculation(c);
	double		requests = m->values[METRIC_requests_per_s];
	double		output = run->output_tokens;
	bool		incl_first = benchorch_has_tag(m, "tpot=incl_first");
	bool		compared = false;
	Roofline	bound;
	Roofline	arithmetic;
	RooflineRun one;
	double		request_flops;

	run->batch_size = 1;
	bound = benchorch_roofline(model, run);
	if (prefill)
		compared |= compare_time(c, METRIC_ttft_p50_ms, METRIC_ttft_mean_ms, 1000 * bound.ttft_s);
	if (isnan(faster))
		benchorch_lacking(c, "TPOT: speculative decoding without a reported acceptance length");
	/* with the first token in it, its own time may be next to nothing */
	compared |= compare_time(c, METRIC_tpot_p50_ms, METRIC_tpot_mean_ms,
							 1000 * bound.tpot_s / faster * (incl_first ? (output - 1) / output : 1));
	if (prefill)
		set_fraction(c, METRIC_roofline_prefill, METRIC_ttft_p50_ms, METRIC_ttft_mean_ms, 1000 * bound.ttft_s);
	if (!incl_first)
		set_fraction(c, METRIC_roofline_decode, METRIC_tpot_p50_ms, METRIC_tpot_mean_ms, 1000 * bound.tpot_s / faster);

	/* the FLOPs of a request: its times where bandwidth is no bound and a GPU makes 1 FLOP/s */
	one = *run;
	one.gpus = 1;
	one.bandwidth = 0;
	one.flops = 1;
	arithmetic = benchorch_roofline(model, &one);
	request_flops = (prefill ? arithmetic.ttft_s : 0) + (output > 1 ? (output - 1) * arithmetic.tpot_s : 0);
	if (isnan(requests))
		requests = m->values[METRIC_output_tokens_per_s] / output;
	if (!isnan(requests) && request_flops > 0)
	{
		if (requests * request_flops > RATE_TOLERANCE * run->gpus * run->flops)
			benchorch_wrong(c, "\"tflops\": {\"measured\": %s, \"ceiling\": %s}",
							float8out_internal(requests * request_flops / 1e12),
							float8out_internal(run->gpus * run->flops / 1e12));
		compared = true;
	}
	return compared;
}

void
benchorch_check_physics(Case *c)
{
	const Subject *s = c->subject;
	const double *reported = c->metrics->numbers;
	double		degrees = reported[FACT_tensor_parallel];
	double		parameters;
	double		cache;
	bool		compared;
	RooflineModel model;
	RooflineRun run = {0};

	if (s == NULL || s->architecture == NULL)
	{
		benchorch_lacking(c, "the model version has no architecture");
		return;
	}
	if (!s->has_machine)
	{
		benchorch_lacking(c, "the hardware is unknown");
		return;
	}
	if (s->machine.cpu || !(s->machine.bandwidth > 0))
	{
		benchorch_lacking(c, "%s has no datasheet peaks", s->machine.name ? s->machine.name : "the hardware");
		return;
	}
	if (!isnan(reported[FACT_pipeline_parallel]))
		degrees *= reported[FACT_pipeline_parallel];
	if (!isnan(reported[FACT_data_parallel]))
		degrees *= reported[FACT_data_parallel];
	run.gpus = fmax(s->gpus, isnan(reported[FACT_gpus]) ? degrees : reported[FACT_gpus]);
	/* whole tokens, and rather too few: the bound of a mean is below the mean of the bounds */
	run.input_tokens =
		floor(isnan(reported[FACT_input_tokens_mean]) ? s->input_tokens : reported[FACT_input_tokens_mean]);
	run.output_tokens =
		floor(isnan(reported[FACT_output_tokens_mean]) ? s->output_tokens : reported[FACT_output_tokens_mean]);
	if (isnan(run.gpus) || !(run.input_tokens >= 1) || !(run.output_tokens >= 1))
	{
		benchorch_lacking(c, "%s",
						  isnan(run.gpus) ? "the number of GPUs is unknown" : "input and output lengths are unknown");
		return;
	}
	if (!choose_precision(c, &model, &run))
		return;

	parameters = s->parameters;
	cache = isnan(s->machine.last_level_cache) ? LARGEST_CACHE : s->machine.last_level_cache;
	if (parameters * model.weight_bytes / run.gpus < 2 * cache)
	{
		run.bandwidth = 0;
		benchorch_lacking(c,
						  "bandwidth: %.0f MiB of weights on a GPU are less than twice its last-level cache of %.0f MiB",
						  parameters * model.weight_bytes / run.gpus / 1048576, cache / 1048576);
	}
	if (benchorch_has_tag(c->metrics, "static_batch"))
		compared = check_static(c, &model, &run, parameters);
	else
		compared = check_served(c, &model, &run);
	if (!compared && c->lacking.len == 0)
		benchorch_lacking(c, "the result has no time or rate that a bound is known for");
}
