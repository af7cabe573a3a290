/*
 * What the worker tells people and log collectors, and what it never tells.
 *
 * Events are JSON lines, each written with one write() so that lines of
 * several workers in one file do not mix.  On a terminal they are not shown;
 * a progress line is, and warnings and errors as text above it.
 *
 * Secrets are known by the names of their variables.  Every text that leaves
 * the machine (events, logs of benchmarks, argument vectors, messages) passes
 * log_mask; results do not: they are kept as the benchmark wrote them.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Shorter values are words, not secrets; masking them would spoil the logs. */
#define SECRET_MIN_LENGTH 6

#define LOG_NOTHING (LOG_ERROR + 1)

static int	log_fd = STDERR_FILENO;
static LogLevel json_threshold = LOG_INFO;	/* from which level on events are JSON lines on log_fd */
static LogLevel text_threshold = LOG_NOTHING;	/* and text on standard error */
static bool progress_line;

static Buffer event_line;
static LogLevel event_level;
static char *event_message;

static char **secrets;
static int	secret_count;

bool
log_open(const char *path, bool quiet)
{
	bool		terminal = isatty(STDERR_FILENO);
	LogLevel	stderr_threshold = quiet ? LOG_ERROR : LOG_INFO;

	progress_line = terminal && !quiet;
	if (terminal || path != NULL)
		text_threshold = terminal && !quiet ? LOG_WARNING : LOG_ERROR;
	json_threshold = path != NULL ? LOG_INFO : terminal ? LOG_NOTHING
														: stderr_threshold;
	if (path != NULL)
		log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return log_fd >= 0;
}

void
log_close(void)
{
	if (progress_line)
		dprintf(STDERR_FILENO, "\n");
	for (int i = 0; i < secret_count; i++)
		free(secrets[i]);
	free(secrets);
	secrets = NULL;
	secret_count = 0;
	buffer_free(&event_line);
	if (log_fd > STDERR_FILENO)
		close(log_fd);
}

Buffer *
log_begin(LogLevel level, const char *event, const char *message)
{
	static const char *const levels[] = {"info", "warning", "error"};
	struct timespec now;
	struct tm	utc;
	char		time[64];
	size_t		len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	len = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(time + len, sizeof(time) - len, ".%03ldZ", now.tv_nsec / 1000000);

	event_level = level;
	event_message = message ? xstrdup(message) : NULL;
	buffer_reset(&event_line);
	json_open(&event_line, NULL, '{');
	json_string(&event_line, "time", time);
	json_string(&event_line, "level", levels[level]);
	json_string(&event_line, "event", event);
	if (message != NULL)
		json_string(&event_line, "message", message);
	return &event_line;
}

void
log_end(void)
{
	if (event_level >= json_threshold)
	{
		json_close(&event_line, '}');
		buffer_puts(&event_line, "\n");
		log_mask(&event_line);
		/* nothing sensible can be done where the log cannot be written */
		if (write(log_fd, event_line.data, event_line.len) < 0)
			errno = 0;
	}
	if (event_level >= text_threshold && event_message != NULL)
	{
		Buffer		text = {0};

		buffer_printf(&text, "%sbenchorch-worker: %s%s\n", progress_line ? "\r\033[K" : "",
					  event_level == LOG_WARNING ? "warning: " : "", event_message);
		log_mask(&text);
		dprintf(STDERR_FILENO, "%s", text.data);
		buffer_free(&text);
	}
	free(event_message);
	event_message = NULL;
}

void
log_message(LogLevel level, const char *event, const char *format, ...)
{
	va_list		args;
	char	   *message;

	va_start(args, format);
	if (vasprintf(&message, format, args) < 0)
		message = NULL;
	va_end(args);
	log_begin(level, event, message);
	log_end();
	free(message);
}

void
log_progress(const char *text)
{
	struct winsize window = {0};
	int			columns;

	if (!progress_line)
		return;
	ioctl(STDERR_FILENO, TIOCGWINSZ, &window);
	columns = window.ws_col > 1 ? window.ws_col - 1 : 79;
	dprintf(STDERR_FILENO, "\r\033[K%.*s", columns, text);
}

static void
add_value(const char *value)
{
	for (int i = 0; i < secret_count; i++)
		if (strcmp(secrets[i], value) == 0)
			return;
	secrets = reallocarray(secrets, secret_count + 1, sizeof(char *));
	if (secrets == NULL)
		abort();
	secrets[secret_count++] = xstrdup(value);
}

/* A value, as it is and as JSON writes it. */
static void
add_secret(const char *value)
{
	Buffer		json = {0};

	if (strlen(value) < SECRET_MIN_LENGTH)
		return;
	add_value(value);
	json_string(&json, NULL, value);
	json.data[json.len - 1] = '\0';
	add_value(json.data + 1);
	buffer_free(&json);
}

void
log_add_secret(const char *variable)
{
	static const char *const words[] = {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"};
	const char *value = strchr(variable, '=');
	char	   *name;
	bool		secret = false;

	if (value == NULL)
		return;
	name = strndup(variable, value - variable);
	for (size_t i = 0; name != NULL && i < sizeof(words) / sizeof(words[0]); i++)
		secret |= strcasestr(name, words[i]) != NULL;
	free(name);
	if (secret)
		add_secret(value + 1);
}

/* An option whose name ends with the word: --hf-token, but neither --tokenizer nor --max-tokens. */
static bool
is_secret_option(const char *argument, size_t len)
{
	static const char *const words[] = {"token", "secret", "password", "passwd", "key", "credential", "credentials"};

	for (size_t i = 0; argument[0] == '-' && i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t		word = strlen(words[i]);

		if (len > word && strncasecmp(argument + len - word, words[i], word) == 0 &&
			strchr("-_", argument[len - word - 1]) != NULL)
			return true;
	}
	return false;
}

void
log_add_secret_arguments(char **argv)
{
	for (; argv != NULL && *argv != NULL; argv++)
	{
		size_t		len = strcspn(*argv, "=");

		if (!is_secret_option(*argv, len))
			continue;
		if ((*argv)[len] == '=')
			add_secret(*argv + len + 1);
		else if (argv[1] != NULL)
			add_secret(argv[1]);
	}
}

void
log_mask(Buffer *buffer)
{
	for (int i = 0; i < secret_count && buffer->len > 0; i++)
	{
		size_t		len = strlen(secrets[i]);
		Buffer		masked = {0};
		char	   *from = buffer->data;
		char	   *end = buffer->data + buffer->len;
		char	   *at;

		while ((at = memmem(from, end - from, secrets[i], len)) != NULL)
		{
			buffer_append(&masked, from, at - from);
			buffer_puts(&masked, "***");
			from = at + len;
		}
		if (from == buffer->data)
			continue;
		buffer_append(&masked, from, end - from);
		buffer_free(buffer);
		*buffer = masked;
	}
}
