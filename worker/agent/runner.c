/*
 * One run of one config: from its command to what is handed in.
 *
 * Protocol oneshot: the command is started for every config, its standard
 * output is the result, or the file {result_file} where the command names
 * it.  Every run has a directory of its own, which is removed afterwards.
 *
 * The command gets few variables of the worker's environment: where programs
 * and libraries are, and what the usual tools are configured by.  The
 * database's (PG*) are never among them.
 */
#include "runner.h"

#include "log.h"
#include "outcome.h"
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_LIMIT ((size_t) 64 * 1024 * 1024)
#define LOG_TAIL 8192			/* of a heartbeat */
#define DEADLINE_GRACE 5.0		/* seconds from SIGTERM to SIGKILL */

static const char *const passed_names[] = {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"};
static const char *const passed_prefixes[] = {"LC_", "HF_", "NCCL_", "CUDA_", "VLLM_", "SGLANG_", "OMP_", "OPENBLAS_"};

static double
wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static bool
is_passed(const char *variable, char **pass_env)
{
	size_t		len = strcspn(variable, "=");

	if (strncmp(variable, "PG", 2) == 0)
		return false;
	for (size_t i = 0; i < sizeof(passed_names) / sizeof(passed_names[0]); i++)
		if (strlen(passed_names[i]) == len && strncmp(variable, passed_names[i], len) == 0)
			return true;
	for (size_t i = 0; i < sizeof(passed_prefixes) / sizeof(passed_prefixes[0]); i++)
		if (strncmp(variable, passed_prefixes[i], strlen(passed_prefixes[i])) == 0)
			return true;
	for (char **name = pass_env; name && *name; name++)
		if (strlen(*name) == len && strncmp(variable, *name, len) == 0)
			return true;
	return false;
}

/* The command's environment: what is passed on, then the framework's own on top. */
static char **
make_environment(const Config *config, const RunSettings *settings)
{
	Pairs		own = {0};
	char	  **env;
	int			count = 0, n = 0;
	bool		has_path = false;
	char	   *gpus = hardware_visible_gpus(settings->machine, config->gpus ? atoi(config->gpus) : 0);

	pairs_split(&own, "", config->env);
	while (environ[count] != NULL)
		count++;
	env = xcalloc(count + own.count + 4, sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		char	   *name = xprintf("%.*s", (int) strcspn(environ[i], "="), environ[i]);

		if (is_passed(environ[i], settings->pass_env) && pairs_find(&own, name) == NULL &&
			(gpus == NULL || (strcmp(name, "CUDA_VISIBLE_DEVICES") != 0 && strcmp(name, "CUDA_DEVICE_ORDER") != 0)))
		{
			bool		is_path = strcmp(name, "PATH") == 0 && settings->own_directory != NULL;

			env[n++] = is_path ? xprintf("%s:%s", environ[i], settings->own_directory) : xstrdup(environ[i]);
			has_path |= is_path;
		}
		free(name);
	}
	if (!has_path && settings->own_directory != NULL && pairs_find(&own, "PATH") == NULL)
		env[n++] = xprintf("PATH=/usr/local/bin:/usr/bin:/bin:%s", settings->own_directory);
	/* by UUID: numbers need not mean the same GPU to CUDA and to NVML */
	if (gpus != NULL && pairs_find(&own, "CUDA_VISIBLE_DEVICES") == NULL)
	{
		env[n++] = xprintf("CUDA_VISIBLE_DEVICES=%s", gpus);
		env[n++] = xstrdup("CUDA_DEVICE_ORDER=PCI_BUS_ID");
	}
	free(gpus);
	for (int i = 0; i < own.count; i++)
	{
		env[n] = xprintf("%s=%s", own.items[i].name, own.items[i].value);
		log_add_secret(env[n++]);
	}
	pairs_free(&own);
	return env;
}

/* What the placeholders of the config's command stand for. */
static void
make_values(const Run *run, Pairs *values)
{
	const Config *config = run->config;
	int			batch_size = config->batch_size ? atoi(config->batch_size) : 0;
	char	   *num_prompts = xprintf("%d", 10 * batch_size > 32 ? 10 * batch_size : 32);
	char	   *seed = xprintf("%lld", atoll(config->config_id) % (1LL << 31));
	const struct
	{
		const char *name, *value;
	} known[] = {
		{"model", config->model},
		{"model_name", config->model_name},
		{"architecture", config->architecture ? config->architecture : "{}"},
		{"workload", config->workload},
		{"batch_size", config->batch_size},
		{"sequence_length", config->sequence_length},
		{"input_tokens", config->input_tokens},
		{"output_tokens", config->output_tokens},
		{"num_prompts", num_prompts},
		{"gpus", config->gpus},
		{"seed", seed},
		{"config_id", config->config_id},
		{"hardware", config->hardware ? config->hardware : run->settings->hardware},
		{"framework", config->framework},
		{"config_json", config->json},
		{"result_file", run->result_file},
		{"work_dir", run->directory},
	};
	const Pair *item;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		pairs_add(values, known[i].name, known[i].value);
	pairs_split(values, "params.", config->params);
	item = pairs_find(values, "params.item");
	pairs_add(values, "item", item ? item->value : NULL);
	free(num_prompts);
	free(seed);
}

static bool
make_directory(Run *run)
{
	run->directory = xprintf("%s/benchorch-%s-XXXXXX", run->settings->work_dir, run->config->config_id);
	if (mkdtemp(run->directory) == NULL)
	{
		buffer_printf(&run->message, "could not create a directory in %s: %s; choose another with --work-dir",
					  run->settings->work_dir, strerror(errno));
		free(run->directory);
		run->directory = NULL;
		run->outcome = "node_fault";
		return false;
	}
	run->result_file = xprintf("%s/result.json", run->directory);
	return true;
}

static bool
make_command(Run *run)
{
	Pairs		values = {0};
	int			count;
	char	  **command = strings_split(run->config->command, &count);

	make_values(run, &values);
	if (count > 0)
		run->argv = template_fill_command(command, &values, &run->message);
	else
		buffer_puts(&run->message, "the framework has no command; give it one with register_framework()");
	if (run->argv == NULL)
		run->outcome = "bad_config";
	else if (!template_names(command, "result_file"))
	{
		free(run->result_file);
		run->result_file = NULL;
	}
	strings_free(command);
	pairs_free(&values);
	return run->argv != NULL;
}

static bool
start_process(Run *run)
{
	char	  **env = make_environment(run->config, run->settings);
	ProcessSpec spec = {
		.argv = run->argv,
		.env = env,
		.directory = run->directory,
		.deadline = run->config->deadline,
		.silence = run->settings->silence,
		.deadline_grace = DEADLINE_GRACE,
		.output_limit = OUTPUT_LIMIT,
		.output_to_log = run->result_file != NULL,
	};
	bool		exec_failed;
	int			error;

	environment_look(run->settings->machine, run->config->gpus ? atoi(run->config->gpus) : 0, &run->before);
	error = process_start(&run->process, &spec, &exec_failed);
	strings_free(env);
	run->started = error == 0;
	if (exec_failed)
	{
		RunEnd		end = {.command = run->argv[0], .exec_error = error};

		run->outcome = outcome_of(&end, &run->message);
	}
	else if (error != 0)
	{
		buffer_printf(&run->message, "could not start a process: %s", strerror(error));
		run->outcome = "node_fault";
	}
	return run->started;
}

bool
run_start(Run *run, const Config *config, const RunSettings *settings)
{
	run->config = config;
	run->settings = settings;
	run->started_at = wall_clock();
	if (config->protocol != NULL && strcmp(config->protocol, "oneshot") != 0)
	{
		buffer_printf(&run->message, "protocol %s is not supported by this worker", config->protocol);
		run->outcome = "node_fault";
		return false;
	}
	return make_directory(run) && make_command(run) && start_process(run);
}

/* The result file's contents; false where there is nothing in it. */
static bool
read_result_file(Run *run)
{
	int			fd = open(run->result_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char		bytes[65536];
	ssize_t		n;

	while (fd >= 0 && run->result_bytes.len <= OUTPUT_LIMIT && (n = read(fd, bytes, sizeof(bytes))) > 0)
		buffer_append(&run->result_bytes, bytes, n);
	if (fd >= 0)
		close(fd);
	return run->result_bytes.len > 0;
}

/* Standard output as a log: head and tail. */
static void
show_output(const Run *run, Buffer *out)
{
	Capture    *capture = xcalloc(1, sizeof(Capture));

	capture_append(capture, run->process.output.data, run->process.output.len);
	if (capture->total > 0)
	{
		buffer_puts(out, "[standard output]\n");
		capture_render(capture, out);
		buffer_puts(out, "\n");
	}
	free(capture);
}

/* Decides the outcome and where the result is; a failed command's log shows its output, too. */
static void
judge(Run *run)
{
	bool		from_file = run->result_file != NULL && read_result_file(run);
	const Buffer *output = from_file ? &run->result_bytes : &run->process.output;
	Buffer		shown = {0};
	Buffer		everything = {0};
	RunEnd		end = {
		.command = run->argv[0],
		.wait_status = run->process.wait_status,
		.stop = run->process.stop,
		.stuck = run->process.stuck,
		.deadline = run->config->deadline,
		.silence = run->settings->silence,
		.host_oom_seen = run->process.host_oom,
		.output_len = output->len,
		.output_limit = OUTPUT_LIMIT,
	};

	if (from_file && output->len > OUTPUT_LIMIT)
		end.stop = PROCESS_OVERFLOW;

	if (run->result_file == NULL)
		show_output(run, &shown);
	buffer_append(&everything, shown.data, shown.len);
	buffer_append(&everything, run->log.data, run->log.len);
	for (size_t i = 0; i < everything.len; i++)
		if (everything.data[i] == '\0')
			everything.data[i] = ' ';
	end.log = everything.data;

	run->outcome = outcome_of(&end, &run->message);
	if (strcmp(run->outcome, "ok") != 0)
		buffer_append(&run->log, shown.data, shown.len);
	if (output->len > 0 && end.stop != PROCESS_OVERFLOW)
	{
		run->output = output->data;
		run->output_len = output->len;
	}
	buffer_free(&shown);
	buffer_free(&everything);
}

static void
write_details(Run *run, uint64_t bytes_dropped)
{
	Buffer	   *json = &run->details;
	int			status = run->process.wait_status;
	double		free_share;

	json_open(json, NULL, '{');
	json_open(json, "argv", '[');
	for (char **arg = run->argv; arg && *arg; arg++)
		json_string(json, NULL, *arg);
	json_close(json, ']');
	if (run->started && WIFEXITED(status))
		json_int(json, "exit_code", WEXITSTATUS(status));
	else
		json_null(json, "exit_code");
	if (run->started && WIFSIGNALED(status))
		json_int(json, "signal", WTERMSIG(status));
	else
		json_null(json, "signal");
	json_string(json, "message", run->message.len > 0 ? run->message.data : NULL);
	json_number(json, "started_at", run->started_at, 6);
	json_number(json, "ended_at", run->ended_at, 6);
	json_int(json, "bytes_dropped", bytes_dropped);
	free_share = run->started ? environment_free_share(run->settings->machine, &run->before) : -1;
	if (free_share >= 0)
		json_number(json, "gpu_free_share", free_share, 4);
	environment_write(run->settings->machine, run->started ? &run->before : NULL, run->started ? &run->after : NULL,
					  "environment", json);
	json_close(json, '}');
	log_mask(json);
}

void
run_finish(Run *run)
{
	uint64_t	bytes_dropped = 0;

	if (run->started)
	{
		environment_look(run->settings->machine, run->config->gpus ? atoi(run->config->gpus) : 0, &run->after);
		process_finish(&run->process);
		bytes_dropped = capture_render(&run->process.log, &run->log);
		judge(run);
	}
	run->ended_at = wall_clock();
	log_mask(&run->log);
	log_mask(&run->message);
	write_details(run, bytes_dropped);
}

void
run_log_tail(const Run *run, Buffer *out)
{
	if (!run->started)
		return;
	capture_recent(&run->process.log, LOG_TAIL, out);
	log_mask(out);
}

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void) info;
	(void) ftw;
	if (type == FTW_DP || type == FTW_D || type == FTW_DNR)
		rmdir(path);
	else
		unlink(path);
	return 0;
}

void
run_free(Run *run)
{
	if (run->directory != NULL)
		nftw(run->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	if (run->started)
		process_free(&run->process);
	strings_free(run->argv);
	free(run->directory);
	free(run->result_file);
	buffer_free(&run->message);
	buffer_free(&run->result_bytes);
	buffer_free(&run->log);
	buffer_free(&run->details);
	*run = (Run){0};
}
