/*
 * report.c: the one JSON object that says what was measured.
 *
 * The result is computed into one struct first and written from one list of
 * its fields, so that a new field is one line in each.  Sums come from counts,
 * and rates from the sums that are printed beside them: output_tokens ÷
 * duration_s is output_tokens_per_s to the last bit.
 */
#include "report.h"

#include <inttypes.h>
#include <math.h>

#include "json.h"
#include "model.h"

#ifndef BENCHORCH_VERSION
#error "the build sets BENCHORCH_VERSION, from the extension's control file"
#endif

#define SCHEMA 1

/* raw samples beyond that many are left out; their number is said */
#define MOST_SAMPLES 1000

struct result
{
	const char *tool;
	const char *version;
	int64_t		schema;
	const char *backend;
	const char *model;
	const char *precision;
	int64_t		batch_size;
	int64_t		input_tokens_per_request;
	int64_t		output_tokens_per_request;
	double		seed;			/* a double, for so JSON readers take it */
	double		weights_seed;
	double		parameters;
	double		matmul_parameters;
	struct summary ttft_ms;
	struct summary tpot_ms;
	struct summary itl_ms;
	struct summary e2e_ms;
	double		requests_per_s;
	double		output_tokens_per_s;
	double		total_tokens_per_s;
	double		concurrency_mean;
	int64_t		requests_completed;
	int64_t		requests_failed;
	int64_t		input_tokens;
	int64_t		output_tokens;
	double		duration_s;
	double		setup_s;
	double		warm_up_s;
	double		burst_output_tokens_per_s;
	double		sustained_output_tokens_per_s;
	double		gpu_memory_peak_bytes;
	double		host_memory_peak_bytes;
	double		energy_j;
	double		throttled_share;
	double		power_capped_share;
	double		noise_rel;
	double		roofline_prefill_measured;
	double		roofline_decode_measured;
	const char *stop_reason;
	int64_t		repeats;
	double		budget_s;
	double		logits_checksum;
};

enum field_type
{
	FIELD_TEXT,
	FIELD_INTEGER,
	FIELD_NUMBER,				/* NaN is null */
	FIELD_SUMMARY,
	FIELD_SUMMARY_WITHOUT_P90,
};

#define FIELD(type, name) \
	{ \
		type, #name, offsetof(struct result, name) \
	}

static const struct
{
	enum field_type type;
	const char *name;
	size_t		offset;
} fields[] = {
	FIELD(FIELD_TEXT, tool),
	FIELD(FIELD_TEXT, version),
	FIELD(FIELD_INTEGER, schema),
	FIELD(FIELD_TEXT, backend),
	FIELD(FIELD_TEXT, model),
	FIELD(FIELD_TEXT, precision),
	FIELD(FIELD_INTEGER, batch_size),
	FIELD(FIELD_INTEGER, input_tokens_per_request),
	FIELD(FIELD_INTEGER, output_tokens_per_request),
	FIELD(FIELD_NUMBER, seed),
	FIELD(FIELD_NUMBER, weights_seed),
	FIELD(FIELD_NUMBER, parameters),
	FIELD(FIELD_NUMBER, matmul_parameters),
	FIELD(FIELD_SUMMARY, ttft_ms),
	FIELD(FIELD_SUMMARY, tpot_ms),
	FIELD(FIELD_SUMMARY_WITHOUT_P90, itl_ms),
	FIELD(FIELD_SUMMARY, e2e_ms),
	FIELD(FIELD_NUMBER, requests_per_s),
	FIELD(FIELD_NUMBER, output_tokens_per_s),
	FIELD(FIELD_NUMBER, total_tokens_per_s),
	FIELD(FIELD_NUMBER, concurrency_mean),
	FIELD(FIELD_INTEGER, requests_completed),
	FIELD(FIELD_INTEGER, requests_failed),
	FIELD(FIELD_INTEGER, input_tokens),
	FIELD(FIELD_INTEGER, output_tokens),
	FIELD(FIELD_NUMBER, duration_s),
	FIELD(FIELD_NUMBER, setup_s),
	FIELD(FIELD_NUMBER, warm_up_s),
	FIELD(FIELD_NUMBER, burst_output_tokens_per_s),
	FIELD(FIELD_NUMBER, sustained_output_tokens_per_s),
	FIELD(FIELD_NUMBER, gpu_memory_peak_bytes),
	FIELD(FIELD_NUMBER, host_memory_peak_bytes),
	FIELD(FIELD_NUMBER, energy_j),
	FIELD(FIELD_NUMBER, throttled_share),
	FIELD(FIELD_NUMBER, power_capped_share),
	FIELD(FIELD_NUMBER, noise_rel),
	FIELD(FIELD_NUMBER, roofline_prefill_measured),
	FIELD(FIELD_NUMBER, roofline_decode_measured),
	FIELD(FIELD_TEXT, stop_reason),
	FIELD(FIELD_INTEGER, repeats),
	FIELD(FIELD_NUMBER, budget_s),
	FIELD(FIELD_NUMBER, logits_checksum),
};

static struct result
compute_result(const struct report *report)
{
	const struct measurement *m = report->measurement;
	const struct workload *workload = report->workload;
	size_t		repeats = (size_t) m->repeats;
	size_t		batch = (size_t) workload->batch_size;
	bool		steps = workload->output_tokens > 1;
	struct result result = {
		.tool = report->tool,
		.version = BENCHORCH_VERSION,
		.schema = SCHEMA,
		.backend = report->backend,
		.model = report->model,
		.precision = precision_name(workload->precision),
		.batch_size = workload->batch_size,
		.input_tokens_per_request = workload->input_tokens,
		.output_tokens_per_request = workload->output_tokens,
		.seed = (double) workload->seed,
		.weights_seed = (double) report->weights_seed,
		.parameters = model_parameters(report->architecture),
		.matmul_parameters = model_matmul_parameters(report->architecture),
		.ttft_ms = statistics_summary(m->ttft_ms, repeats, batch),
		.tpot_ms = statistics_summary(m->tpot_ms, steps ? repeats : 0, batch),
		.itl_ms = statistics_summary(m->itl_ms, m->gaps, batch),
		.e2e_ms = statistics_summary(m->e2e_ms, repeats, batch),
		.requests_completed = (int64_t) (repeats * batch),
		.duration_s = m->duration_s,
		.setup_s = m->setup_s,
		.warm_up_s = m->warm_up_s,
		.burst_output_tokens_per_s = m->burst_tokens_per_s,
		.sustained_output_tokens_per_s = m->sustained_tokens_per_s,
		.gpu_memory_peak_bytes = report->device_memory_peak < 0 ? NAN : (double) report->device_memory_peak,
		.energy_j = m->energy_j,
		.throttled_share = m->throttled_share,
		.power_capped_share = m->power_capped_share,
		.host_memory_peak_bytes = report->host_memory_peak < 0 ? NAN : (double) report->host_memory_peak,
		.noise_rel = m->noise_rel,
		.stop_reason = m->stop_reason,
		.repeats = m->repeats,
		.budget_s = report->budget_s,
		.logits_checksum = m->logits_checksum,
	};
	double		e2e_s = 0;

	for (size_t i = 0; i < repeats; i++)
		e2e_s += m->e2e_ms[i] / 1000 * (double) batch;
	result.input_tokens = result.requests_completed * workload->input_tokens;
	result.output_tokens = result.requests_completed * workload->output_tokens;
	result.requests_per_s = (double) result.requests_completed / result.duration_s;
	result.output_tokens_per_s = (double) result.output_tokens / result.duration_s;
	result.total_tokens_per_s = (double) (result.input_tokens + result.output_tokens) / result.duration_s;
	result.concurrency_mean = e2e_s / result.duration_s;
	result.roofline_prefill_measured = m->bound.ttft_s * 1000 / result.ttft_ms.p50;
	result.roofline_decode_measured = m->bound.tpot_s * 1000 / result.tpot_ms.p50;
	return result;
}

/* the next member's name, after a comma unless it is the first */
static void
write_name(FILE *out, bool *first, const char *name)
{
	if (!*first)
		putc(',', out);
	*first = false;
	json_write_string(out, name);
	putc(':', out);
}

static void
write_number(FILE *out, bool *first, const char *name, double number)
{
	write_name(out, first, name);
	json_write_number(out, number);
}

static void
write_integer(FILE *out, bool *first, const char *name, int64_t number)
{
	write_name(out, first, name);
	fprintf(out, "%" PRId64, number);
}

static void
write_text(FILE *out, bool *first, const char *name, const char *text)
{
	write_name(out, first, name);
	if (text == NULL)
		fputs("null", out);
	else
		json_write_string(out, text);
}

static void
write_summary(FILE *out, const struct summary *summary, bool with_p90)
{
	bool		first = true;

	putc('{', out);
	write_number(out, &first, "mean", summary->mean);
	write_number(out, &first, "p10", summary->p10);
	write_number(out, &first, "p50", summary->p50);
	if (with_p90)
		write_number(out, &first, "p90", summary->p90);
	write_number(out, &first, "p95", summary->p95);
	write_number(out, &first, "p99", summary->p99);
	putc('}', out);
}

static void
write_field(FILE *out, bool *first, int i, const struct result *result)
{
	const char *field = (const char *) result + fields[i].offset;

	switch (fields[i].type)
	{
		case FIELD_TEXT:
			write_text(out, first, fields[i].name, *(const char *const *) field);
			break;
		case FIELD_INTEGER:
			write_integer(out, first, fields[i].name, *(const int64_t *) field);
			break;
		case FIELD_NUMBER:
			write_number(out, first, fields[i].name, *(const double *) field);
			break;
		case FIELD_SUMMARY:
		case FIELD_SUMMARY_WITHOUT_P90:
			write_name(out, first, fields[i].name);
			write_summary(out, (const struct summary *) field, fields[i].type == FIELD_SUMMARY);
			break;
	}
}

static void
write_samples(FILE *out, bool *first, const char *name, const double *samples, size_t count)
{
	write_name(out, first, name);
	putc('[', out);
	for (size_t i = 0; i < count && i < MOST_SAMPLES; i++)
	{
		if (i > 0)
			putc(',', out);
		fprintf(out, "%.6g", samples[i]);
	}
	putc(']', out);
}

static void
write_all_samples(FILE *out, const struct measurement *m, bool steps)
{
	size_t		repeats = (size_t) m->repeats;
	bool		first = true;

	putc('{', out);
	write_samples(out, &first, "began_s", m->began_s, repeats);
	write_samples(out, &first, "ttft_ms", m->ttft_ms, repeats);
	write_samples(out, &first, "tpot_ms", m->tpot_ms, steps ? repeats : 0);
	write_samples(out, &first, "e2e_ms", m->e2e_ms, repeats);
	write_samples(out, &first, "output_tokens_per_s", m->output_tokens_per_s, repeats);
	write_samples(out, &first, "itl_ms", m->itl_ms, m->gaps);
	write_integer(out, &first, "itl_count", (int64_t) m->gaps);
	putc('}', out);
}

static void
write_memory(FILE *out, const struct memory_plan *plan)
{
	bool		first = true;

	putc('{', out);
	write_integer(out, &first, "weights_bytes", plan->weights);
	write_integer(out, &first, "kv_cache_bytes", plan->kv_cache);
	write_integer(out, &first, "activations_bytes", plan->activations);
	write_integer(out, &first, "library_bytes", plan->library);
	write_integer(out, &first, "planned_bytes", plan->total);
	write_integer(out, &first, "available_bytes", plan->available);
	putc('}', out);
}

/* contention is what others did during the measurement; NULL without one */
static void
write_environment(FILE *out, const struct report_environment *environment, const struct measurement *m)
{
	bool		first = true;

	putc('{', out);
	write_text(out, &first, "cpu_model", environment->cpu_model);
	write_integer(out, &first, "cpus", environment->cpus);
	write_integer(out, &first, "threads", environment->threads);
	for (int i = 0; i < environment->n_facts; i++)
		write_text(out, &first, environment->facts[i].name, environment->facts[i].value);
	write_number(out, &first, "cpu_pressure", environment->cpu_pressure);
	if (m != NULL)
	{
		write_number(out, &first, "others_busy_cpus", m->others_busy_cpus);
		write_number(out, &first, "stolen_cpus", m->stolen_cpus);
	}
	putc('}', out);
}

/* the device's state at one moment */
static void
write_state(FILE *out, bool *first, const char *name, const struct device_state *state)
{
	bool		inner = true;

	write_name(out, first, name);
	putc('{', out);
	write_number(out, &inner, "clock_hz", state->clock_hz);
	write_number(out, &inner, "memory_clock_hz", state->memory_clock_hz);
	write_number(out, &inner, "temperature_c", state->temperature_c);
	write_number(out, &inner, "throttled_s", state->throttled_s);
	write_number(out, &inner, "power_capped_s", state->power_capped_s);
	putc('}', out);
}

static void
write_ceilings(FILE *out, bool *first, const struct ceilings *ceilings)
{
	write_number(out, first, "read_bytes_per_s", ceilings->read_bytes_per_s);
	write_number(out, first, "copy_bytes_per_s", ceilings->copy_bytes_per_s);
	write_number(out, first, "flops_per_s", ceilings->flops_per_s);
}

void
report_write(FILE *out, const struct report *report)
{
	const struct measurement *m = report->measurement;
	struct result result = compute_result(report);
	bool		first = true;

	putc('{', out);
	for (int i = 0; i < (int) (sizeof(fields) / sizeof(fields[0])); i++)
		write_field(out, &first, i, &result);
	write_name(out, &first, "samples");
	write_all_samples(out, m, report->workload->output_tokens > 1);
	write_name(out, &first, "memory");
	write_memory(out, &report->plan);
	write_name(out, &first, "environment");
	write_environment(out, &report->environment, m);
	write_name(out, &first, "device");
	fputs("{", out);
	first = true;
	write_state(out, &first, "before", &m->before);
	write_state(out, &first, "after", &m->after);
	fputs("}", out);
	first = false;
	write_name(out, &first, "calibration");
	fputs("{", out);
	first = true;
	write_ceilings(out, &first, &m->ceilings);
	write_number(out, &first, "ttft_bound_ms", m->bound.ttft_s * 1000);
	write_number(out, &first, "tpot_bound_ms", m->bound.tpot_s * 1000);
	fputs("}}\n", out);
}

void
report_write_calibration(FILE *out, const struct report *report,
						 struct ceilings ceilings, double footprint_bytes)
{
	bool		first = true;

	putc('{', out);
	write_text(out, &first, "tool", report->tool);
	write_text(out, &first, "version", BENCHORCH_VERSION);
	write_integer(out, &first, "schema", SCHEMA);
	write_text(out, &first, "backend", report->backend);
	write_name(out, &first, "calibration");
	putc('{', out);
	first = true;
	write_ceilings(out, &first, &ceilings);
	write_number(out, &first, "read_footprint_bytes", footprint_bytes);
	fputs("},", out);
	first = true;
	write_name(out, &first, "environment");
	write_environment(out, &report->environment, NULL);
	fputs("}\n", out);
}
