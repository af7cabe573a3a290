/*
 * The command line.
 *
 * A wrong one is told in one line that says what to do, with exit code 64.
 */
#include "options.h"

#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"benchorch-worker claims benchmark configs from a database, runs them on this machine and hands in the results.\n"
	"\n"
	"Usage:\n"
	"  benchorch-worker [OPTION]...\n"
	"\n"
	"Where and what:\n"
	"  --db CONNINFO            connection string or URI; default: libpq's environment (PGHOST, PGDATABASE, ...)\n"
	"  --name NAME              name of this worker; unique in the database; default: host name and slot\n"
	"  --hardware NAME          hardware it claims for; default: what this machine is found to be\n"
	"  --framework NAME         framework it can run, repeatable; default: benchorch-engine where it is installed\n"
	"  --model UUID             claim only configs of this model version or submission\n"
	"  --priority-threshold N   claim only configs with a priority of at most N; default: 1000\n"
	"  --gpus N                 GPUs of this worker's slot; default: all of the machine's\n"
	"\n"
	"How:\n"
	"  --batch-size N           configs claimed at a time, 1 to 500; default: 100\n"
	"  --until-settled          end when nothing is left that this worker could claim\n"
	"  --register               register hardware and worker, print worker id and hardware name, and end\n"
	"  --grace SECONDS          what a running config gets after SIGTERM; default: 8\n"
	"  --preemption-check PATH  stop as on SIGTERM when this command ends with 0, or this file appears; asked every 2 s\n"
	"  --silence SECONDS        end a run that prints nothing for so long, as timeout; default: its deadline only\n"
	"  --heartbeat SECONDS      between heartbeats, less than the lease; default: 15, or a quarter of a shorter lease\n"
	"  --no-presence            hold one connection, not two: if this worker dies, others wait for its lease to run out\n"
	"  --work-dir DIR           where runs get their directories; default: TMPDIR, else /tmp\n"
	"  --spool DIR              where results are kept until the database has them; default: below --work-dir\n"
	"  --pass-env NAME          pass this environment variable on to commands, repeatable\n"
	"\n"
	"By hand:\n"
	"  --run-one CONFIG         run this config and print its result; claims and changes nothing in the database\n"
	"  --keep                   with it: keep the directories of the run, and print where they are\n"
	"\n"
	"Messages:\n"
	"  --log FILE               append events as JSON lines; default: standard error where it is no terminal\n"
	"  --quiet                  no progress line, and only errors on standard error\n"
	"  --help, --version        show this, or the version, and end\n"
	"\n"
	"Exit codes:\n"
	"    0  done: nothing is left to claim (--until-settled), or registered (--register), or run well (--run-one)\n"
	"    1  the run ended otherwise than well (--run-one)\n"
	"   64  wrong options or connection string; do not retry\n"
	"   65  wrong configuration: unknown hardware, framework, user or database, missing extension or rights; do not retry\n"
	"   75  temporary: the database cannot be reached, or this machine is not fit for work; retry\n"
	"  130  ended by SIGINT (Ctrl-C), everything handed back\n"
	"  143  ended by SIGTERM, everything handed back\n";

static int __attribute__((format(printf, 1, 2))) wrong(const char *format, ...)
{
	va_list		args;

	fputs("benchorch-worker: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs("; try --help\n", stderr);
	return EXIT_BAD_USAGE;
}

static bool
parse_int(const char *text, long least, long most, long *value)
{
	char	   *end;

	*value = strtol(text, &end, 10);
	return *text != '\0' && *end == '\0' && *value >= least && *value <= most;
}

static bool
parse_seconds(const char *text, double least, double *value)
{
	char	   *end;

	*value = strtod(text, &end);
	return *text != '\0' && *end == '\0' && *value >= least && *value <= 86400;
}

static bool
is_uuid(const char *text)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i] != '\0'; i++)
		if (form[i] == '-' ? text[i] != '-' : !isxdigit((unsigned char) text[i]))
			return false;
	return true;
}

/* As seen from the present directory; the file need not exist. */
static char *
absolute_path(const char *path)
{
	char	   *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
	char	   *absolute = here ? xprintf("%s/%s", here, path) : xstrdup(path);

	free(here);
	return absolute;
}

static const struct option known[] = {{"db", required_argument, NULL, 'd'},
									  {"name", required_argument, NULL, 'n'},
									  {"hardware", required_argument, NULL, 'w'},
									  {"framework", required_argument, NULL, 'f'},
									  {"model", required_argument, NULL, 'm'},
									  {"batch-size", required_argument, NULL, 'b'},
									  {"priority-threshold", required_argument, NULL, 'p'},
									  {"until-settled", no_argument, NULL, 'u'},
									  {"register", no_argument, NULL, 'r'},
									  {"gpus", required_argument, NULL, 'g'},
									  {"grace", required_argument, NULL, 'G'},
									  {"heartbeat", required_argument, NULL, 'H'},
									  {"preemption-check", required_argument, NULL, 'c'},
									  {"silence", required_argument, NULL, 's'},
									  {"no-presence", no_argument, NULL, 'P'},
									  {"work-dir", required_argument, NULL, 'D'},
									  {"spool", required_argument, NULL, 'S'},
									  {"run-one", required_argument, NULL, '1'},
									  {"keep", no_argument, NULL, 'k'},
									  {"pass-env", required_argument, NULL, 'e'},
									  {"log", required_argument, NULL, 'l'},
									  {"quiet", no_argument, NULL, 'q'},
									  {"help", no_argument, NULL, 'h'},
									  {"version", no_argument, NULL, 'V'},
									  {NULL, 0, NULL, 0}};

/* What an option without value switches on; false where it has one. */
static bool
set_switch(Options *options, int option)
{
	switch (option)
	{
		case 'u':
			return options->until_settled = true;
		case 'r':
			return options->register_only = true;
		case 'P':
			return options->no_presence = true;
		case 'k':
			return options->keep = true;
		case 'q':
			return options->quiet = true;
		default:
			return false;
	}
}

static bool
add_framework(Options *options, const char *name)
{
	if (options->frameworks.len > 0)
		buffer_puts(&options->frameworks, "\x1f");
	buffer_puts(&options->frameworks, name);
	return *name != '\0';
}

/* Never the database's own variables. */
static bool
add_pass_env(Options *options, const char *name)
{
	char	  **end = options->pass_env;

	while (*end != NULL)
		end++;
	*end = (char *) name;
	return strncmp(name, "PG", 2) != 0 && strchr(name, '=') == NULL;
}

static bool
set_path(char **path, const char *value)
{
	free(*path);
	*path = absolute_path(value);
	return *value != '\0';
}

/* An option with its value; false where it is none for it. */
static bool
set_value(Options *options, int option, char *value)
{
	long		number = 0;
	bool		good;

	switch (option)
	{
		case 'd':
			options->db = value;
			return true;
		case 'n':
			options->name = value;
			return *value != '\0';
		case 'w':
			options->hardware = value;
			return *value != '\0';
		case 'f':
			return add_framework(options, value);
		case 'm':
			options->model = value;
			return is_uuid(value);
		case 'b':
			good = parse_int(value, 1, 500, &number);
			options->batch_size = (int) number;
			return good;
		case 'p':
			options->priority_threshold = value;
			return parse_int(value, -2147483647L, 2147483647L, &number);
		case 'g':
			good = parse_int(value, 1, 1024, &number);
			options->gpus = (int) number;
			return good;
		case 'G':
			return parse_seconds(value, 0, &options->grace);
		case 'H':
			return parse_seconds(value, 0.1, &options->heartbeat);
		case 's':
			return parse_seconds(value, 0.1, &options->silence);
		case 'c':
			return set_path(&options->preemption_check, value);
		case 'D':
			return set_path(&options->work_dir, value);
		case 'S':
			return set_path(&options->spool, value);
		case '1':
			options->run_one = value;
			return parse_int(value, 1, 9223372036854775807L, &number);
		case 'e':
			return add_pass_env(options, value);
		case 'l':
			options->log = value;
			return true;
		default:
			return false;
	}
}

/* Where runs and results go; -1 or an exit code. */
static int
choose_directories(Options *options)
{
	const char *tmpdir = getenv("TMPDIR");
	const char *wanted = tmpdir && *tmpdir ? tmpdir : "/tmp";
	char	   *real;

	if (options->work_dir == NULL)
		set_path(&options->work_dir, wanted);
	/* commands run elsewhere, so the path must not depend on where we are */
	real = realpath(options->work_dir, NULL);
	if (real == NULL)
		return wrong("no directory %s for the runs; give one with --work-dir", options->work_dir);
	free(options->work_dir);
	options->work_dir = real;
	if (options->spool == NULL)
		options->spool = xprintf("%s/benchorch-spool-%d", real, (int) geteuid());
	return -1;
}

int
options_parse(Options *options, int argc, char **argv)
{
	int			option;

	*options = (Options){.batch_size = 100, .grace = 8};
	options->pass_env = xcalloc(argc + 1, sizeof(char *));

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1)
	{
		if (option == 'h' || option == 'V')
		{
			fputs(option == 'h' ? usage : "benchorch-worker " BENCHORCH_VERSION "\n", stdout);
			return EXIT_DONE;
		}
		if (option == ':')
			return wrong("%s needs a value", argv[optind - 1]);
		if (option == '?')
			return wrong("unknown option %s", argv[optind - 1]);
		if (!set_switch(options, option) && !set_value(options, option, optarg))
			return wrong("\"%s\" is no value for this option: %s", optarg,
						 argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
	}
	if (options->keep && options->run_one == NULL)
		return wrong("--keep is for --run-one");
	if (optind < argc)
		return wrong("unexpected argument \"%s\"", argv[optind]);
	return choose_directories(options);
}

void
options_free(Options *options)
{
	buffer_free(&options->frameworks);
	free(options->pass_env);
	free(options->preemption_check);
	free(options->work_dir);
	free(options->spool);
}
