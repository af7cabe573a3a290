/*
 * session.c: one backend with one warm model, and the configs that it runs.
 *
 * A model is loaded when a config asks for another architecture, precision or
 * weights' seed than the last one; every config prepares the loaded model for its
 * own batch and lengths.  A config that does not fit leaves the model loaded.
 */
#include "session.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "machine.h"
#include "measure.h"
#include "report.h"

/* refuses what does not fit, with the arithmetic for people and for programs */
static enum engine_status
check_memory(const struct backend_operations *operations, const struct memory_plan *plan,
			 struct engine_error *error)
{
	const double gib = 1 << 30;
	enum engine_status status = operations->out_of_memory;

	if (plan->total <= plan->available)
		return ENGINE_OK;
	engine_fail(error, status,
				"does not fit: weights %.2f + KV cache %.2f + activations %.2f + libraries %.2f = %.2f GiB, available are %.2f GiB",
				(double) plan->weights / gib, (double) plan->kv_cache / gib,
				(double) plan->activations / gib, (double) plan->library / gib,
				(double) plan->total / gib, (double) plan->available / gib);
	snprintf(error->details, sizeof(error->details),
			 "{\"outcome\":\"%s\",\"needed_bytes\":%" PRId64 ",\"available_bytes\":%" PRId64
			 ",\"weights_bytes\":%" PRId64 ",\"kv_cache_bytes\":%" PRId64
			 ",\"activations_bytes\":%" PRId64 ",\"library_bytes\":%" PRId64 "}",
			 engine_outcome(status), plan->total, plan->available,
			 plan->weights, plan->kv_cache, plan->activations, plan->library);
	return status;
}

enum engine_status
session_start(struct session *session, const char *backend, enum precision precision,
			  const struct backend_options *options, struct engine_error *error)
{
	if (strcmp(backend, "auto") == 0 && precision != PRECISION_BF16)
		backend = "cpu";
	*session = (struct session){.options = *options, .ceilings = {NAN, NAN, NAN}};
	return backend_find(backend, &session->operations, error);
}

void
session_end(struct session *session)
{
	if (session->backend != NULL)
		session->operations->close(session->backend);
	session->backend = NULL;
}

/* is the request's model the one that is loaded? */
static bool
is_loaded(const struct session *session, const struct request *request)
{
	return session->backend != NULL &&
		config_same_architecture(&session->loaded.architecture, &request->architecture) &&
		session->loaded.workload.precision == request->workload.precision &&
		session->loaded.weights_seed == request->weights_seed;
}

static enum engine_status
load(struct session *session, const struct request *request, struct engine_error *error)
{
	enum engine_status status;

	if (is_loaded(session, request))
		return ENGINE_OK;
	session_end(session);
	status = session->operations->open(&request->architecture, request->workload.precision, request->weights_seed,
									   &session->options, &session->backend, error);
	session->loaded = *request;
	return status;
}

/* a request that fits, on a model that is loaded and ready for it */
static enum engine_status
get_ready(struct session *session, const struct request *request, struct memory_plan *plan,
		  struct engine_error *error)
{
	const struct backend_operations *operations = session->operations;
	enum engine_status status = config_check(&request->architecture, &request->workload, error);

	/* another model's memory is free again before this one is planned */
	if (status == ENGINE_OK && !is_loaded(session, request))
		session_end(session);
	if (status == ENGINE_OK)
		status = operations->plan(session->backend, &request->architecture, &request->workload,
								  &session->options, plan, error);
	if (status == ENGINE_OK)
		status = check_memory(operations, plan, error);
	if (status == ENGINE_OK)
		status = load(session, request, error);
	if (status == ENGINE_OK)
		status = operations->prepare(session->backend, &request->workload, error);
	return status;
}

enum engine_status
session_warm(struct session *session, const struct request *request, struct engine_error *error)
{
	struct request least = *request;
	struct memory_plan plan;

	least.workload = (struct workload){request->workload.precision, 1, 1, 1, request->workload.seed};
	return get_ready(session, &least, &plan, error);
}

static void
describe_environment(struct session *session, struct report_environment *environment)
{
	machine_cpu_model(environment->cpu_model, sizeof(environment->cpu_model));
	environment->cpus = machine_cpus();
	environment->threads = session->options.threads;
	environment->cpu_pressure = machine_cpu_pressure();
	environment->n_facts = session->operations->facts(session->backend, environment->facts);
}

static struct report
new_report(const struct session *session, const struct request *request)
{
	return (struct report){
		.tool = ENGINE_TOOL,
		.backend = session->operations->name,
		.model = request->model[0] != 0 ? request->model : NULL,
		.architecture = &request->architecture,
		.workload = &request->workload,
		.weights_seed = request->weights_seed,
		.budget_s = request->budget,
	};
}

enum engine_status
session_run(struct session *session, const struct request *request, double begin, FILE *out,
			struct engine_error *error)
{
	static struct measurement measurement;
	struct report report = new_report(session, request);
	enum engine_status status = get_ready(session, request, &report.plan, error);

	if (status != ENGINE_OK)
		return status;
	status = measure_run(session->operations, session->backend, &request->architecture, &request->workload,
						 begin, request->budget, &session->ceilings, &measurement, error);
	if (status == ENGINE_OK)
	{
		report.measurement = &measurement;
		report.host_memory_peak = machine_peak_memory();
		report.device_memory_peak = session->operations->device_memory(session->backend);
		describe_environment(session, &report.environment);
		report_write(out, &report);
	}
	measure_free(&measurement);
	return status;
}

enum engine_status
session_calibrate(struct session *session, const struct request *request, FILE *out, struct engine_error *error)
{
	const struct workload *w = &request->workload;
	double		seconds = fmin(1, request->budget / 4);
	struct report report = new_report(session, request);
	struct ceilings ceilings;
	enum engine_status status = get_ready(session, request, &report.plan, error);

	if (status == ENGINE_OK)
		status = session->operations->settle(session->backend, error);
	if (status == ENGINE_OK)
		status = session->operations->rate(session->backend, RATE_READ, seconds, &ceilings.read_bytes_per_s, error);
	if (status == ENGINE_OK)
		status = session->operations->rate(session->backend, RATE_COPY, seconds, &ceilings.copy_bytes_per_s, error);
	if (status == ENGINE_OK)
		status = session->operations->rate(session->backend, RATE_MATRIX, seconds, &ceilings.flops_per_s, error);
	if (status == ENGINE_OK)
	{
		describe_environment(session, &report.environment);
		report_write_calibration(out, &report, ceilings,
								 roofline_decode_bytes(&request->architecture, w, w->input_tokens + w->output_tokens));
	}
	return status;
}
