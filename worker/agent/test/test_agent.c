/*
 * Unit tests of what the worker computes without a database: templates,
 * outcomes, captured logs, JSON, masking, options, how long a run took.  Prints
 * TAP.
 */
#include "../events.h"
#include "../log.h"
#include "../options.h"
#include "../outcome.h"
#include "../runner.h"
#include "../spool.h"
#include "../template.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int	tests;
static int	failures;

static void
check(bool ok, const char *name)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, name);
	failures += !ok;
}

static void
check_text(const char *got, const char *expected, const char *name)
{
	bool		ok = strcmp(got, expected) == 0;

	check(ok, name);
	if (!ok)
		printf("#      got: %s\n# expected: %s\n", got, expected);
}

/* --------------------------------------------------------------- template */

static void
test_template(void)
{
	static const struct
	{
		const char *pattern, *filled,	/* or */
			*error;				/* what the reason contains */
	} rows[] = {
		{"plain", "plain", NULL},
		{"", "", NULL},
		{"{model}", "org/name", NULL},
		{"a{model}b{batch_size}c", "aorg/nameb4c", NULL},
		{"{params.tp}", "2", NULL},
		{"{params.tp:8}", "2", NULL},
		{"{params.pp:1}", "1", NULL},
		{"{params.pp:}", "", NULL},
		{"{params.pp:a:b}", "a:b", NULL},
		{"{workload:none}", "none", NULL},
		{"{{\"b\": {batch_size}}}", "{\"b\": 4}", NULL},
		{"{{{model}}}", "{org/name}", NULL},
		{"{tricky}", "{model} $(x) 'y'", NULL},
		{"{workload}", NULL, "{workload} has no value"},
		{"{params.pp}", NULL, "{params.pp} has no value"},
		{"{dataset:none}", "none", NULL},
		{"{dataset}", NULL, "{dataset} has no value"},
		{"{nope}", NULL, "unknown placeholder {nope}"},
		{"{nope:1}", NULL, "unknown placeholder {nope}"},
		{"{}", NULL, "unknown placeholder {}"},
		{"{model", NULL, "unbalanced {"},
		{"model}", NULL, "unbalanced }"},
	};
	Pairs		values = {0};

	pairs_add(&values, "model", "org/name");
	pairs_add(&values, "batch_size", "4");
	pairs_add(&values, "workload", NULL);
	pairs_add(&values, "tricky", "{model} $(x) 'y'");
	pairs_split(&values, "params.tp\x1e"
						 "2\x1f"
						 "params.note\x1e"
						 "a=b\x1f"
						 "dataset");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		Buffer		out = {0}, error = {0};
		bool		ok = template_fill(rows[i].pattern, &values, &out, &error);
		char	   *name = xprintf("template \"%s\"", rows[i].pattern);

		if (rows[i].filled != NULL)
			check_text(ok ? out.data : "(error)", rows[i].filled, name);
		else
			check(!ok && strstr(buffer_text(&error), rows[i].error) != NULL, name);
		buffer_free(&out);
		buffer_free(&error);
		free(name);
	}
	pairs_free(&values);
}

static void
test_argument_lists(void)
{
	char	   *command[] = {"x", "{arguments.quant}", "{arguments.none}", "{arguments.unknown}", "--a={plain}", NULL};
	char	   *unknown_word[] = {"x", "{arguments.odd}", NULL};
	Pairs		values = {0};
	Buffer		error = {0};
	char	  **filled;

	pairs_split(&values, "arguments.quant\x1e\x1d--quantization\x1d"
						 "fp8\x1d\x1f"
						 "arguments.none\x1e\x1d\x1f"
						 "arguments.odd\x1fplain\x1ev");
	filled = template_fill_command(command, &values, &error);
	check(filled != NULL && strcmp(filled[0], "x") == 0 && strcmp(filled[1], "--quantization") == 0 &&
			  strcmp(filled[2], "fp8") == 0 && strcmp(filled[3], "--a=v") == 0 && filled[4] == NULL,
		  "an element that stands for several arguments becomes them, or none");
	strings_free(filled);
	filled = template_fill_command(unknown_word, &values, &error);
	check(filled == NULL && strstr(buffer_text(&error), "{arguments.odd} has no value") != NULL,
		  "a word for which there are no arguments has no value");
	buffer_free(&error);
	pairs_free(&values);
}

static void
test_lists(void)
{
	int			count;
	char	  **strings = strings_split("a\x1f\x1f"
								   "b c",
								   &count);
	char	   *command[] = {"x", "--out={result_file}", "{{work_dir}}", "{port:1}", NULL};

	check(count == 3 && strcmp(strings[1], "") == 0 && strcmp(strings[2], "b c") == 0,
		  "an empty element of a list is kept");
	strings_free(strings);
	strings = strings_split(NULL, &count);
	check(count == 0 && strings[0] == NULL, "NULL is an empty list");
	strings_free(strings);
	check(template_names(command, "result_file"), "a placeholder inside an element is found");
	check(template_names(command, "port"), "a placeholder with a default is found");
	check(!template_names(command, "work_dir"), "escaped braces are no placeholder");
	check(!template_names(command, "result"), "the beginning of a placeholder is not it");
}

/* ---------------------------------------------------------------- outcome */

#define EXITED(code) ((code) << 8)
#define SIGNALLED(number) (number)

static void
test_outcomes(void)
{
	static const struct
	{
		const char *name;
		RunEnd		end;
		const char *outcome, *message;	/* what it contains */
	} rows[] = {
		{"output and exit 0", {.output_len = 2}, "ok", ""},
		{"exit 0 without output", {.log = "warming up\ngone\n"}, "bad_output", "without output: gone"},
		{"out of memory in the log of a good run", {.output_len = 2, .log = "CUDA out of memory, smaller\n"}, "ok", ""},
		{"deadline",
		 {.stop = PROCESS_DEADLINE, .wait_status = SIGNALLED(SIGTERM), .deadline = 1.5},
		 "timeout",
		 "not finished after 1.5 s"},
		{"deadline, though it then ended well",
		 {.stop = PROCESS_DEADLINE, .output_len = 2, .deadline = 1},
		 "timeout",
		 ""},
		{"too much output", {.stop = PROCESS_OVERFLOW, .output_limit = 10}, "bad_output", "more than 10 bytes"},
		{"command not found", {.exec_error = ENOENT}, "node_fault", "command not found: /opt/bin/bench"},
		{"not executable", {.exec_error = EACCES}, "node_fault", "Permission denied"},
		{"SIGKILL by someone", {.wait_status = SIGNALLED(SIGKILL)}, "crash", "killed by signal 9 (exit 137)"},
		{"exit code 137",
		 {.wait_status = EXITED(137), .log = "last\n"},
		 "crash",
		 "killed by signal 9 (exit 137): last"},
		{"SIGKILL by the kernel for memory",
		 {.wait_status = SIGNALLED(SIGKILL), .host_oom_seen = true},
		 "host_oom",
		 "out of memory"},
		{"exit code 137 by the kernel for memory", {.wait_status = EXITED(137), .host_oom_seen = true}, "host_oom", ""},
		{"exit code after the kernel has killed a child for memory",
		 {.wait_status = EXITED(1), .host_oom_seen = true, .host_oom_own = true, .log = "engine died\n"},
		 "host_oom",
		 "a process of it: the machine or its memory limit ran out of memory: engine died"},
		{"deadline after the kernel has killed a child for memory",
		 {.stop = PROCESS_DEADLINE, .wait_status = SIGNALLED(SIGKILL), .host_oom_seen = true, .host_oom_own = true},
		 "host_oom",
		 "a process of it"},
		{"exit code while the kernel killed for memory, perhaps elsewhere",
		 {.wait_status = EXITED(1), .host_oom_seen = true},
		 "crash",
		 "exit code 1"},
		{"output in spite of a child that was killed for memory",
		 {.output_len = 2, .host_oom_seen = true, .host_oom_own = true},
		 "ok",
		 ""},
		{"segmentation fault", {.wait_status = SIGNALLED(SIGSEGV)}, "crash", "signal 11"},
		{"exit code and last line", {.wait_status = EXITED(3), .log = "one\ntwo\n\n"}, "crash", "exit code 3: two"},
		{"silence",
		 {.stop = PROCESS_SILENCE, .silence = 2.5, .log = "last\n"},
		 "timeout",
		 "printed nothing for 2.5 s: last"},
		{"not even SIGKILL", {.stuck = true}, "node_fault", "SIGKILL"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		RunEnd		end = rows[i].end;
		Buffer		message = {0};
		char	   *name = xprintf("outcome of %s", rows[i].name);
		const char *outcome;

		end.command = end.command ? end.command : "/opt/bin/bench";
		end.log = end.log ? end.log : "";
		outcome = outcome_of(&end, &message);
		check(strcmp(outcome, rows[i].outcome) == 0 && strstr(buffer_text(&message), rows[i].message) != NULL, name);
		if (strcmp(outcome, rows[i].outcome) != 0)
			printf("# got %s: %s\n", outcome, buffer_text(&message));
		buffer_free(&message);
		free(name);
	}
}

/* ---------------------------------------------------------------- capture */

/* n lines of 10 bytes, "line 0000\n" and so on, in pieces of the size given. */
static Capture *
captured_lines(int n, size_t piece)
{
	Capture    *capture = xcalloc(1, sizeof(Capture));
	Buffer		lines = {0};

	for (int i = 0; i < n; i++)
		buffer_printf(&lines, "line %04d\n", i);
	for (size_t at = 0; at < lines.len; at += piece)
		capture_append(capture, lines.data + at, lines.len - at < piece ? lines.len - at : piece);
	buffer_free(&lines);
	return capture;
}

static void
test_capture(void)
{
	static const size_t pieces[] = {7, 4096, 1000000};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
	{
		Capture    *capture = captured_lines(9000, pieces[i]);
		Buffer		out = {0};
		uint64_t	dropped = capture_render(capture, &out);
		char *middle =
			xprintf("line 1637\n[... %d bytes dropped ...]\nline %04d\n", (int) dropped, 1638 + (int) dropped / 10);
		char	   *name = xprintf("whole first and last lines are kept, in pieces of %zu", pieces[i]);

		check(dropped == 8090 && strstr(out.data, middle) != NULL && strncmp(out.data, "line 0000\n", 10) == 0 &&
				  strcmp(out.data + out.len - 10, "line 8999\n") == 0,
			  name);
		if (dropped != 8090)
			printf("# dropped %d\n", (int) dropped);
		buffer_free(&out);
		free(middle);
		free(name);
		free(capture);
	}
	for (int n = 1600; n <= 8192; n += 1648)
	{
		Capture    *capture = captured_lines(n, 333);
		Buffer		out = {0};
		uint64_t	dropped = capture_render(capture, &out);

		check(dropped == 0 && out.len == (size_t) n * 10 && atoi(out.data + out.len - 5) == n - 1,
			  "what fits is kept whole");
		buffer_free(&out);
		capture_recent(capture, 25, &out);
		check(out.len == 20 && strncmp(out.data, "line ", 5) == 0, "the recent part begins with a line");
		buffer_free(&out);
		free(capture);
	}
}

/* ------------------------------------------------------------------ spool */

static Result
some_result(const char *config_id)
{
	Result		result = {
		.config_id = xstrdup(config_id),
		.claim_id = xstrdup("9007199254740991"),
		.outcome = xstrdup("ok"),
		.has_output = true,
	};

	buffer_append(&result.output, "{\"a\":\0 1}\n", 10);
	buffer_puts(&result.log, "a line\n");
	buffer_puts(&result.details, "{}");
	return result;
}

/* Where a file of the spool is. */
static char *
spool_path(const char *directory, int number, const char *suffix)
{
	return xprintf("%s/here/%d-%d.result%s", directory, (int) getpid(), number, suffix);
}

/* The calls of the spool that a test watches, or has fail. */
static int	locking_fails;		/* errno */
static int	removing_fails;
static Buffer flushed;			/* the names of what was flushed, newest last */

int
flock(int fd, int operation)
{
	if (locking_fails != 0)
	{
		errno = locking_fails;
		return -1;
	}
	return (int) syscall(SYS_flock, fd, operation);
}

int
unlink(const char *path)
{
	if (removing_fails != 0)
	{
		errno = removing_fails;
		return -1;
	}
	return (int) syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int
fsync(int fd)
{
	char	   *link = xprintf("/proc/self/fd/%d", fd);
	char		path[256];
	ssize_t		len = readlink(link, path, sizeof(path));

	free(link);
	buffer_append(&flushed, path, len > 0 ? len : 0);
	buffer_puts(&flushed, "\n");
	return 0;
}

/* What the worker tells meanwhile goes to a file. */
static char told_path[] = "/tmp/benchorch-test-told-XXXXXX";
static int	told_fd = -1, standard_error;

static void
begin_listening(void)
{
	if (told_fd < 0)
		told_fd = mkstemp(told_path);
	standard_error = dup(STDERR_FILENO);
	if (ftruncate(told_fd, 0) < 0 || lseek(told_fd, 0, SEEK_SET) < 0 || dup2(told_fd, STDERR_FILENO) < 0)
		check(false, "a file for what is told");
}

/* Whether it has told the text. */
static bool
was_told(const char *text)
{
	char		told[4096];
	ssize_t		len = pread(told_fd, told, sizeof(told) - 1, 0);

	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	told[len > 0 ? len : 0] = '\0';
	return strstr(told, text) != NULL;
}

/* Writes a text into a file so many bytes before its end. */
static bool
overwrite(const char *path, const char *mode, long before_end, const char *text)
{
	FILE	   *file = fopen(path, mode);
	bool		done;

	if (file == NULL)
		return false;
	done = fseek(file, -before_end, SEEK_END) == 0 && fputs(text, file) != EOF;
	return fclose(file) == 0 && done;
}

/* What a process has left that died while it wrote, or after its result had been handed in. */
static void
test_unfinished(const char *path)
{
	Result		read = {0};
	FILE	   *file = fopen(path, "w");
	bool		written = file != NULL && fseek(file, 256, SEEK_SET) == 0 && fputs("{}", file) != EOF;

	if (file != NULL)
		written = fclose(file) == 0 && written;
	check(written && !spool_next(&read) && access(path, F_OK) < 0, "what is not finished is removed");
	file = fopen(path, "w");
	check(file != NULL, "an empty file");
	if (file != NULL)
		fclose(file);
	check(!spool_next(&read) && access(path, F_OK) < 0, "and so is what is empty");
}

static void
test_spool(void)
{
	char		base[] = "/tmp/benchorch-test-spool-XXXXXX";
	Result		written = some_result("7"), second = some_result("8"), read = {0};
	char	   *path, *damaged, *again;
	int			lock;

	if (mkdtemp(base) == NULL)
	{
		check(false, "a directory for the spool");
		return;
	}
	path = spool_path(base, 0, "");
	damaged = spool_path(base, 0, ".damaged");
	again = spool_path(base, 1, "");
	check(spool_open(base, "here"), "a spool is opened");
	spool_write(&written);
	spool_write(&second);
	spool_flush(&written);
	spool_remove(&second);
	check(!spool_next(&read), "what this process has in hand it does not read");
	spool_let_go(&written);
	spool_close();
	check(spool_open(base, "here"), "and again");
	lock = open(path, O_RDONLY);
	check(lock >= 0 && flock(lock, LOCK_EX) == 0 && !spool_next(&read),
		  "what another process has in hand is left alone");
	close(lock);
	check(spool_next(&read) && strcmp(read.config_id, "7") == 0 && strcmp(read.claim_id, written.claim_id) == 0 &&
			  strcmp(read.outcome, "ok") == 0 && read.has_output && read.output.len == 10 &&
			  memcmp(read.output.data, written.output.data, 10) == 0 && strcmp(read.log.data, "a line\n") == 0 &&
			  strcmp(read.details.data, "{}") == 0,
		  "what was written is read, NULs included");
	spool_let_go(&read);
	result_free(&read);
	check(!spool_next(&read), "and nothing else");
	spool_close();

	check(spool_open(base, "elsewhere") && !spool_next(&read), "another database sees nothing of it");
	spool_close();

	check(spool_open(base, "here"), "the spool is opened again");
	check(overwrite(path, "r+", 12, "!"), "one byte of it changes");
	check(!spool_next(&read), "what is damaged is not read");
	check(access(path, F_OK) < 0 && access(damaged, F_OK) == 0, "but set aside");
	check(overwrite(path, "w", 0, "benchorch-result 1 7 8 ok 1 99999999999999 0 0 00000000\n{}") &&
			  !spool_next(&read) && access(path, F_OK) < 0,
		  "nor is one that is shorter than it says");
	unlink(damaged);
	test_unfinished(path);
	spool_write(&second);
	spool_remove(&second);
	spool_write(&written);
	check(access(again, F_OK) == 0 && access(path, F_OK) < 0, "a file is used again");
	spool_remove(&written);
	spool_close();
	check(access(base, F_OK) < 0, "an empty spool leaves nothing");
	result_free(&written);
	result_free(&second);
	free(path);
	free(damaged);
	free(again);
}

/* Where locks, space or rights are missing the worker works on, and says what to do. */
static void
test_poor_spool(void)
{
	char		base[] = "/tmp/benchorch-test-spool-XXXXXX";
	Result		written = some_result("7"), read = {0};
	char	   *here, *path, *other;

	if (mkdtemp(base) == NULL || rmdir(base) < 0)
	{
		check(false, "a name for the spool");
		return;
	}
	here = xprintf("%s/here", base);
	path = spool_path(base, 0, "");
	other = spool_path(base, 1, "");

	locking_fails = ENOSYS;
	begin_listening();
	check(!spool_open(base, "here"), "a spool on a file system without locks is none");
	check(was_told("give another directory with --spool"), "which is told");
	spool_write(&written);
	check(written.spooled == NULL, "and nothing is written there");
	spool_close();
	locking_fails = 0;
	check(rmdir(here) == 0 && rmdir(base) == 0, "no file is left");

	buffer_reset(&flushed);
	check(spool_open(base, "here") && strstr(flushed.data, "/tmp\n") != NULL && strstr(flushed.data, base) != NULL,
		  "new directories are flushed into those that they stand in");
	check(rmdir(here) < 0, "nobody can remove them while they are in use");
	buffer_reset(&flushed);
	spool_write(&written);
	spool_flush(&written);
	check(strstr(flushed.data, here) != NULL, "so is the file's name");
	spool_let_go(&written);
	spool_close();

	check(spool_open(base, "here") && spool_next(&read), "a result is taken");
	removing_fails = EROFS;
	begin_listening();
	spool_remove(&read);
	check(was_told("could not remove"), "one that cannot be removed is told");
	removing_fails = 0;
	result_free(&read);
	check(access(path, F_OK) == 0 && unlink(path) == 0, "and is still there");
	spool_close();
	check(access(other, F_OK) < 0 && access(base, F_OK) < 0, "an empty spool leaves nothing");
	result_free(&written);
	buffer_free(&flushed);
	free(here);
	free(path);
	free(other);
	close(told_fd);
	unlink(told_path);
}

/* ------------------------------------------------------- JSON and secrets */

static void
test_json(void)
{
	Buffer		json = {0};

	json_open(&json, NULL, '{');
	json_string(&json, "text", "a\"b\\c\n\t\x01 \xC3\xA9 \xF0\x9F\x98\x80");
	json_string(&json, "bad", "\xC3( \xFF \xED\xA0\x80 \xC0\xAF");
	json_string(&json, "none", NULL);
	json_open(&json, "list", '[');
	json_string(&json, NULL, "");
	json_int(&json, NULL, -7);
	json_close(&json, ']');
	json_open(&json, "object", '{');
	json_close(&json, '}');
	json_number(&json, "n", 1.25, 2);
	json_bool(&json, "b", true);
	json_close(&json, '}');
	check_text(json.data,
			   "{\"text\":\"a\\\"b\\\\c\\n\\t\\u0001 \xC3\xA9 \xF0\x9F\x98\x80\","
			   "\"bad\":\"\xEF\xBF\xBD( \xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\","
			   "\"none\":null,\"list\":[\"\",-7],\"object\":{},\"n\":1.25,\"b\":true}",
			   "JSON is escaped, and always UTF-8");
	buffer_free(&json);
}

static void
test_secrets(void)
{
	Buffer		text = {0};

	log_add_secret("HF_TOKEN=hf_abcdef");
	log_add_secret("HOME=/home/user");
	log_add_secret("KEY=abc");
	buffer_puts(&text, "token hf_abcdef, hf_abcdef; home /home/user; abc");
	log_mask(&text);
	check_text(text.data, "token ***, ***; home /home/user; abc",
			   "values of secret variables are masked, short ones and others not");
	buffer_free(&text);

	log_add_secret("API_KEY=a\"b\\c\"d");
	json_string(&text, NULL, "key a\"b\\c\"d.");
	log_mask(&text);
	check_text(text.data, "\"key ***.\"", "also as JSON writes them");
	buffer_free(&text);

	log_add_secret_arguments((char *[]){"bench", "--hf-token", "hf_123456", "--api-key=sk_123456", "--tokenizer",
										"org/model", "--max-tokens", "1000000", "--token", NULL});
	buffer_puts(&text, "hf_123456 sk_123456 org/model 1000000");
	log_mask(&text);
	check_text(text.data, "*** *** org/model 1000000", "and those of options that are named so");
	buffer_free(&text);
}

/* ---------------------------------------------------------------- options */

static void
test_options(void)
{
	static const struct
	{
		const char *argument, *value;
		int			code;
	} rows[] = {
		{"--batch-size", "1", -1},
		{"--batch-size", "500", -1},
		{"--batch-size", "501", 64},
		{"--batch-size", "0", 64},
		{"--batch-size", "x", 64},
		{"--heartbeat", "0.5", -1},
		{"--heartbeat", "0", 64},
		{"--grace", "0", -1},
		{"--model", "6f1c2f4e-9f0a-4c57-8f5e-0a1b2c3d4e5f", -1},
		{"--model", "llama", 64},
		{"--priority-threshold", "-5", -1},
		{"--priority-threshold", "high", 64},
		{"--gpus", "0", 64},
		{"--pass-env", "PGPASSWORD", 64},
		{"--pass-env", "A=b", 64},
		{"--foo", NULL, 64},
		{"--name", NULL, 64},
		{"stray", NULL, 64},
		{"--until-settled", NULL, -1},
	};
	int			saved = dup(STDERR_FILENO);

	if (freopen("/dev/null", "w", stderr) == NULL)
		return;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
	{
		char	   *argv[] = {"benchorch-worker", (char *) rows[i].argument, (char *) rows[i].value, NULL};
		Options		options;
		char	   *name = xprintf("option %s %s", rows[i].argument, rows[i].value ? rows[i].value : "");

		optind = 0;
		check(options_parse(&options, rows[i].value ? 3 : 2, argv) == rows[i].code, name);
		options_free(&options);
		free(name);
	}
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
}

/* ------------------------------------------------------------------ clocks */

static time_t clock_is_set;		/* by so many seconds somebody has set the machine's clock */

/* Takes the place of the C library's, for the worker's objects in this program. */
int
clock_gettime(clockid_t clock, struct timespec *at)
{
	int			result = (int) syscall(SYS_clock_gettime, clock, at);

	if (clock == CLOCK_REALTIME)
		at->tv_sec += clock_is_set;
	return result;
}

static void
nothing(int count)
{
	(void) count;
}

/* A run during which the clock is set. */
static void
check_run_time(time_t by, const char *name)
{
	const char *tmp = getenv("TMPDIR");
	Machine		machine = {0};
	Config		config = {.config_id = "1", .command = "sh\037-c\037sleep 0.2; echo '{{}}'", .deadline = 600};
	RunSettings settings = {.machine = &machine, .work_dir = tmp ? tmp : "/tmp"};
	Run			run = {0};
	Result		result = {0};

	clock_is_set = 0;
	run_start(&run, &config, NULL, &settings);
	clock_is_set = by;
	while (!run_done(&run))
		events_wait(EVENTS_NEVER);
	run_finish(&run, &result);
	clock_is_set = 0;
	check(strcmp(result.outcome, "ok") == 0 && result.seconds >= 0.2 && result.seconds < 600, name);
	if (result.seconds < 0.2 || result.seconds >= 600)
		printf("# it took %g s, %s\n", result.seconds, result.outcome);
	result_free(&result);
}

static void
test_clocks(void)
{
	if (!events_open(nothing) || !process_init())
		abort();
	check_run_time(-3600, "how long a run took, while the clock is set back an hour");
	check_run_time(3600, "how long a run took, while the clock is set forward an hour");
}

int
main(void)
{
	test_template();
	test_lists();
	test_argument_lists();
	test_spool();
	test_poor_spool();
	test_outcomes();
	test_capture();
	test_json();
	test_secrets();
	test_options();
	test_clocks();
	log_close();
	printf("1..%d\n", tests);
	return failures > 0;
}
