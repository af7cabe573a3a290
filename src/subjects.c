/*
 * What a result is about: what was asked, of which model, on what machine.
 *
 * SQL puts it together as one jsonb, for a config (config_subjects) as for
 * what was imported (imports.sql), so that the checks see both alike.  What is
 * not known is not there.
 */
#include "benchorch.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/numeric.h"

JsonbValue
benchorch_member(Jsonb *object, const char *key)
{
	JsonbValue	value = {.type = jbvNull};

	if (object && JB_ROOT_IS_OBJECT(object))
		getKeyJsonValueFromContainer(&object->root, key, strlen(key), &value);
	return value;
}

char *
benchorch_value_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

char *
benchorch_member_text(Jsonb *object, const char *key)
{
	JsonbValue	value = benchorch_member(object, key);

	return benchorch_value_text(&value);
}

double
benchorch_member_number(Jsonb *object, const char *key)
{
	char	   *text = benchorch_member_text(object, key);
	char	   *end;
	double		number;

	if (text == NULL || *text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text))
		return get_float8_nan();
	number = strtod(text, &end);
	return *end == '\0' && isfinite(number) ? number : get_float8_nan();
}

Jsonb *
benchorch_member_object(Jsonb *object, const char *key)
{
	JsonbValue	value = benchorch_member(object, key);

	return value.type == jbvBinary ? JsonbValueToJsonb(&value) : NULL;
}

static void
read_machine(Jsonb *json, Machine *machine)
{
	char	   *kind = benchorch_member_text(json, "kind");

	machine->name = benchorch_member_text(json, "name");
	machine->cpu = kind != NULL && strcmp(kind, "cpu") == 0;
	machine->bandwidth = benchorch_member_number(json, "bandwidth_gbps") * 1e9;
	machine->bf16 = benchorch_member_number(json, "bf16_tflops") * 1e12;
	machine->fp8 = benchorch_member_number(json, "fp8_tflops") * 1e12;
	machine->nvfp4 = benchorch_member_number(json, "nvfp4_tflops") * 1e12;
	machine->last_level_cache = benchorch_member_number(json, "last_level_cache_bytes");
}

/* The numbers of the architecture that the check against physics needs. */
static void
read_shape(Subject *subject)
{
	Jsonb	   *architecture = subject->architecture;

	subject->parameters = benchorch_member_number(architecture, "params");
	subject->kv_heads = benchorch_member_number(architecture, "n_kv_heads");
	subject->kv_elements = 2 * benchorch_member_number(architecture, "n_layers") * subject->kv_heads *
		benchorch_member_number(architecture, "head_dim");
	subject->has_shape = benchorch_roofline_model(architecture, NULL, &subject->shape) && subject->parameters > 0;
}

void
benchorch_read_subject(Jsonb *json, Subject *subject)
{
	Jsonb	   *machine = benchorch_member_object(json, "machine");

	memset(subject, 0, sizeof(Subject));
	subject->json = json;
	subject->model_name = benchorch_member_text(json, "model");
	subject->model_source = benchorch_member_text(json, "source");
	subject->architecture = benchorch_member_object(json, "architecture");
	if (subject->architecture)
		read_shape(subject);
	subject->has_machine = machine != NULL;
	if (machine)
		read_machine(machine, &subject->machine);
	subject->gpus = benchorch_member_number(json, "gpus");
	subject->batch_size = benchorch_member_number(json, "batch_size");
	subject->input_tokens = benchorch_member_number(json, "input_tokens");
	subject->output_tokens = benchorch_member_number(json, "output_tokens");
	subject->params = benchorch_member_object(json, "params");
	subject->dataset = benchorch_member_text(json, "dataset");
	subject->off = benchorch_member_object(json, "off");
	subject->own_checks = benchorch_member_object(json, "own_checks");
}
