/*
 * The roofline: what a run takes at least on a machine's peaks.
 *
 * Pmm parameters in matrix products per token, w bytes per weight, K bytes of
 * KV cache per token, L layers, h heads, d head size, V vocabulary, H hidden
 * size, B batch, S input and O output tokens, G GPUs that share the model, BW
 * bytes/s and F FLOP/s of one of them:
 *
 *   prefill FLOPs  2 B S (Pmm - V H) + 2 B V H + 2 L h d B S (S + 1)
 *   TTFT           max(FLOPs / (G F), (Pmm w + B S K) / (G BW))
 *   decode step    at context c = S + 1 ... S + O - 1: bytes = Pmm w + B c K,
 *                  FLOPs = 2 Pmm B + 4 L h d B c
 *   TPOT           the mean over the steps of max(bytes / (G BW), FLOPs / (G F))
 *
 * Layers with a sliding window W count min(c, W) for c.  A mixture of E experts
 * of which a token uses k has k of them in Pmm; a batch reads about
 * E (1 - (1 - k / E)^B), which is no bound, but what an expectation asks for.
 *
 * Both sides of a decode step's maximum are linear in c up to the window and
 * beyond it, so the mean is two closed sums a piece and costs the same for any
 * length.
 */
#include "benchorch.h"
#include "roofline.h"

#include <math.h>

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(benchorch_precision_bytes_sql);
PG_FUNCTION_INFO_V1(benchorch_roofline_sql);
PG_FUNCTION_INFO_V1(benchorch_batch_seconds);

static const struct
{
	const char *word;
	double		bytes;
} precisions[] = {
	{"fp32", 4},
	{"float32", 4},
	{"float", 4},
	{"f32", 4},
	{"bf16", 2},
	{"fp16", 2},
	{"bfloat16", 2},
	{"float16", 2},
	{"half", 2},
	{"f16", 2},
	{"fp8", 1},
	{"int8", 1},
	{"fp8_e4m3", 1},
	{"fp8_e5m2", 1},
	{"nvfp4", 0.5},
	{"int4", 0.5},
	{"fp4", 0.5},
	{"mxfp4", 0.5},
};

double
benchorch_precision_bytes(const char *word, int len)
{
	for (int i = 0; i < lengthof(precisions); i++)
		if (strlen(precisions[i].word) == len && pg_strncasecmp(precisions[i].word, word, len) == 0)
			return precisions[i].bytes;
	return 0;
}

Datum
benchorch_precision_bytes_sql(PG_FUNCTION_ARGS)
{
	double		bytes = 0;

	if (!PG_ARGISNULL(0))
	{
		text	   *word = PG_GETARG_TEXT_PP(0);

		bytes = benchorch_precision_bytes(VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word));
	}
	if (bytes == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(bytes);
}

/* A number of an object; 0 where it has none. */
static double
number(Jsonb *object, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value = getKeyJsonValueFromContainer(&object->root, key, strlen(key), &buffer);

	if (value == NULL || value->type != jbvNumeric)
		return 0;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

/* Bytes of the precision that params name under a key; 0: not named, or auto; -1: unknown. */
static double
named_precision(Jsonb *params, const char *key)
{
	JsonbValue	buffer;
	JsonbValue *value;
	double		bytes;

	if (params == NULL || !JB_ROOT_IS_OBJECT(params))
		return 0;
	value = getKeyJsonValueFromContainer(&params->root, key, strlen(key), &buffer);
	if (value == NULL || value->type == jbvNull)
		return 0;
	if (value->type != jbvString)
		return -1;
	if (value->val.string.len == 4 && pg_strncasecmp(value->val.string.val, "auto", 4) == 0)
		return 0;
	bytes = benchorch_precision_bytes(value->val.string.val, value->val.string.len);
	return bytes > 0 ? bytes : -1;
}

bool
benchorch_roofline_model(Jsonb *architecture, Jsonb *params, RooflineModel *model)
{
	double		precision = named_precision(params, "precision");
	double		kv_precision = named_precision(params, "kv_cache_dtype");
	double		parameters;
	double		layers;
	double		kv_elements;

	if (precision < 0 || kv_precision < 0 || architecture == NULL || !JB_ROOT_IS_OBJECT(architecture))
		return false;
	parameters = number(architecture, "params");
	layers = number(architecture, "n_layers");
	kv_elements = 2 * layers * number(architecture, "n_kv_heads") * number(architecture, "head_dim");
	model->matmul = number(architecture, "matmul_params");
	if (parameters <= 0 || model->matmul <= 0 || kv_elements <= 0)
		return false;

	model->weight_bytes = precision;
	if (model->weight_bytes == 0)
		model->weight_bytes = number(architecture, "weight_bytes") / parameters;
	if (model->weight_bytes == 0)
		model->weight_bytes = 2;
	if (kv_precision == 0)
		kv_precision = precision;
	model->kv_bytes = kv_precision * kv_elements;
	if (model->kv_bytes == 0)
		model->kv_bytes = number(architecture, "kv_bytes_per_token");
	if (model->kv_bytes == 0)
		model->kv_bytes = 2 * kv_elements;

	model->head = number(architecture, "vocab_size") * number(architecture, "hidden_size");
	model->attention = layers * number(architecture, "n_heads") * number(architecture, "head_dim");
	model->experts = number(architecture, "n_experts");
	model->top_k = number(architecture, "experts_per_token");
	model->expert = layers * 3 * number(architecture, "hidden_size") * number(architecture, "moe_ffn_dim");
	model->window = number(architecture, "sliding_window");
	model->sliding = model->window > 0 ? number(architecture, "sliding_layers") / layers : 0;
	return true;
}

/* Of the tokens 1 ... n, how many the layers see in the mean, all told: the sum of c, or of min(c, W). */
static double
seen_tokens(const RooflineModel *model, double n)
{
	double		all = n * (n + 1) / 2;
	double		windowed = all;

	if (model->sliding > 0 && n > model->window)
		windowed = model->window * (model->window + 1) / 2 + (n - model->window) * model->window;
	return all * (1 - model->sliding) + windowed * model->sliding;
}

/* A line over the context: at + slope x c. */
typedef struct Line
{
	double		at;
	double		slope;
} Line;

static double
sum_line(Line line, double first, double last)
{
	return last < first ? 0 : (last - first + 1) * (line.at + line.slope * (first + last) / 2);
}

/* The sum over the integers first ... last of the greater of two lines. */
static double
sum_greater(Line a, Line b, double first, double last)
{
	double		crossing;

	if (last < first)
		return 0;
	/* a is the one that is greater in the end */
	if (a.slope < b.slope || (a.slope == b.slope && a.at < b.at))
	{
		Line		swap = a;

		a = b;
		b = swap;
	}
	if (a.at + a.slope * first >= b.at + b.slope * first)
		return sum_line(a, first, last);
	if (a.at + a.slope * last <= b.at + b.slope * last)
		return sum_line(b, first, last);
	crossing = floor((b.at - a.at) / (a.slope - b.slope));
	return sum_line(b, first, crossing) + sum_line(a, crossing + 1, last);
}

Roofline
benchorch_roofline(const RooflineModel *model, const RooflineRun *run)
{
	double		B = run->batch_size;
	double		S = run->input_tokens;
	double		steps = run->output_tokens - 1;
	double		bytes_per_s = run->bandwidth > 0 ? run->gpus * run->bandwidth : INFINITY;
	double		flops_per_s = run->flops > 0 ? run->gpus * run->flops : INFINITY;
	double		read = model->matmul;
	double		body = model->matmul > model->head ? model->matmul - model->head : 0;
	double		seen = S;
	double		windowed_from;
	double		last = S + steps;
	double		time;
	Roofline	bound;

	if (run->expert_reads && model->experts > 0)
		read += model->expert * (model->experts * (1 - pow(1 - model->top_k / model->experts, B)) - model->top_k);
	if (model->sliding > 0 && S > model->window)
		seen = S * (1 - model->sliding) + model->window * model->sliding;

	bound.prefill_flops = 2 * B * S * body + 2 * B * model->head + 4 * model->attention * B * seen_tokens(model, S);
	bound.ttft_s = fmax(bound.prefill_flops / flops_per_s,
						(read * model->weight_bytes + B * seen * model->kv_bytes) / bytes_per_s);

	/* up to the window every layer sees all of the context, beyond it only some of them do */
	windowed_from = model->sliding > 0 ? fmin(fmax(model->window, S), last) : last;
	time = sum_greater((Line){read * model->weight_bytes / bytes_per_s, B * model->kv_bytes / bytes_per_s},
					   (Line){2 * model->matmul * B / flops_per_s, 4 * model->attention * B / flops_per_s},
					   S + 1, windowed_from);
	if (windowed_from < last)
	{
		double		fixed = model->sliding * model->window;
		double		growing = 1 - model->sliding;

		time += sum_greater((Line){(read * model->weight_bytes + B * fixed * model->kv_bytes) / bytes_per_s,
								   B * growing * model->kv_bytes / bytes_per_s},
							(Line){(2 * model->matmul * B + 4 * model->attention * B * fixed) / flops_per_s,
								   4 * model->attention * B * growing / flops_per_s},
							windowed_from + 1, last);
	}
	bound.tpot_s = steps > 0 ? time / steps : NAN;
	return bound;
}

/* The last architecture of a call site: a matrix asks about one model a million times. */
typedef struct KnownModel
{
	bool		found;
	RooflineModel model;
	Size		architecture_size;
	Size		params_size;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} KnownModel;

static KnownModel *
known_model(FmgrInfo *flinfo, Jsonb *architecture, Jsonb *params)
{
	KnownModel *known = flinfo->fn_extra;
	Size		architecture_size = VARSIZE(architecture);
	Size		params_size = params ? VARSIZE(params) : 0;

	if (known && known->architecture_size == architecture_size && known->params_size == params_size &&
		memcmp(known->bytes, architecture, architecture_size) == 0 &&
		(params == NULL || memcmp(known->bytes + architecture_size, params, params_size) == 0))
		return known;
	if (known)
		pfree(known);
	known = MemoryContextAlloc(flinfo->fn_mcxt, offsetof(KnownModel, bytes) + architecture_size + params_size);
	known->architecture_size = architecture_size;
	known->params_size = params_size;
	memcpy(known->bytes, architecture, architecture_size);
	if (params)
		memcpy(known->bytes + architecture_size, params, params_size);
	known->found = benchorch_roofline_model(architecture, params, &known->model);
	flinfo->fn_extra = known;
	return known;
}

/*
 * The arguments that both calls below begin with: architecture, params,
 * batch_size, input_tokens, output_tokens, gpus, bandwidth_gbps, tflops.
 * False where there is nothing to compute.
 */
static bool
bound_arguments(FunctionCallInfo fcinfo, bool expert_reads, Roofline *bound)
{
	KnownModel *known;
	RooflineRun run;

	for (int i = 0; i < 6; i++)
		if (i != 1 && PG_ARGISNULL(i))
			return false;
	if (PG_ARGISNULL(6) && PG_ARGISNULL(7))
		return false;
	known = known_model(fcinfo->flinfo, PG_GETARG_JSONB_P(0), PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	run.batch_size = PG_GETARG_INT32(2);
	run.input_tokens = PG_GETARG_INT32(3);
	run.output_tokens = PG_GETARG_INT32(4);
	run.gpus = PG_GETARG_INT32(5);
	run.bandwidth = PG_ARGISNULL(6) ? 0 : PG_GETARG_FLOAT8(6) * 1e9;
	run.flops = PG_ARGISNULL(7) ? 0 : PG_GETARG_FLOAT8(7) * 1e12;
	run.expert_reads = expert_reads;
	if (!known->found || run.batch_size < 1 || run.input_tokens < 1 || run.output_tokens < 1 || run.gpus < 1)
		return false;
	*bound = benchorch_roofline(&known->model, &run);
	return true;
}

/* roofline(the arguments above, expert_reads) -> (ttft_ms, tpot_ms, prefill_tflop) */
Datum
benchorch_roofline_sql(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};
	Roofline	bound;

	if (!bound_arguments(fcinfo, !PG_ARGISNULL(8) && PG_GETARG_BOOL(8), &bound))
		PG_RETURN_NULL();
	values[0] = Float8GetDatum(bound.ttft_s * 1000);
	values[1] = Float8GetDatum(bound.tpot_s * 1000);
	values[2] = Float8GetDatum(bound.prefill_flops / 1e12);
	nulls[1] = isnan(bound.tpot_s);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* No batch of real machines takes thirty years; what is computed from it must not overflow. */
#define LONGEST_BATCH 1e9

/* batch_seconds(the arguments above) */
Datum
benchorch_batch_seconds(PG_FUNCTION_ARGS)
{
	Roofline	bound;

	if (!bound_arguments(fcinfo, true, &bound))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(fmin(bound.ttft_s + (isnan(bound.tpot_s) ? 0 : (PG_GETARG_INT32(4) - 1) * bound.tpot_s),
						  LONGEST_BATCH));
}
