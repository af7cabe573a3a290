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
	"   64  wrong options\n"
	"   65  wrong configuration: unknown hardware or framework, missing extension or rights; do not retry\n"
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

int
options_parse(Options *options, int argc, char **argv)
{
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
	const char *tmpdir = getenv("TMPDIR");
	const char *work_dir = tmpdir && *tmpdir ? tmpdir : "/tmp";
	const char *spool = NULL;
	int			pass_count = 0;
	long		number = 0;
	int			option;

	*options = (Options){.batch_size = 100, .grace = 8};
	options->pass_env = xcalloc(argc + 1, sizeof(char *));

	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", known, NULL)) != -1)
	{
		bool		ok = true;

		switch (option)
		{
			case 'd':
				options->db = optarg;
				break;
			case 'n':
				options->name = optarg;
				ok = *optarg != '\0';
				break;
			case 'w':
				options->hardware = optarg;
				ok = *optarg != '\0';
				break;
			case 'f':
				if (options->frameworks.len > 0)
					buffer_puts(&options->frameworks, "\x1f");
				buffer_puts(&options->frameworks, optarg);
				ok = *optarg != '\0';
				break;
			case 'm':
				options->model = optarg;
				ok = is_uuid(optarg);
				break;
			case 'b':
				ok = parse_int(optarg, 1, 500, &number);
				options->batch_size = (int) number;
				break;
			case 'p':
				options->priority_threshold = optarg;
				ok = parse_int(optarg, -2147483647L, 2147483647L, &number);
				break;
			case 'u':
				options->until_settled = true;
				break;
			case 'r':
				options->register_only = true;
				break;
			case 'g':
				ok = parse_int(optarg, 1, 1024, &number);
				options->gpus = (int) number;
				break;
			case 'G':
				ok = parse_seconds(optarg, 0, &options->grace);
				break;
			case 'H':
				ok = parse_seconds(optarg, 0.1, &options->heartbeat);
				break;
			case 'c':
				free(options->preemption_check);
				options->preemption_check = absolute_path(optarg);
				break;
			case 's':
				ok = parse_seconds(optarg, 0.1, &options->silence);
				break;
			case 'P':
				options->no_presence = true;
				break;
			case 'D':
				work_dir = optarg;
				break;
			case 'S':
				spool = optarg;
				ok = *optarg != '\0';
				break;
			case '1':
				options->run_one = optarg;
				ok = parse_int(optarg, 1, 9223372036854775807L, &number);
				break;
			case 'k':
				options->keep = true;
				break;
			case 'e':
				options->pass_env[pass_count++] = optarg;
				ok = strncmp(optarg, "PG", 2) != 0 && strchr(optarg, '=') == NULL;
				break;
			case 'l':
				options->log = optarg;
				break;
			case 'q':
				options->quiet = true;
				break;
			case 'h':
				fputs(usage, stdout);
				return EXIT_DONE;
			case 'V':
				puts("benchorch-worker " BENCHORCH_VERSION);
				return EXIT_DONE;
			case ':':
				return wrong("%s needs a value", argv[optind - 1]);
			default:
				return wrong("unknown option %s", argv[optind - 1]);
		}
		if (!ok)
			return wrong("\"%s\" is no value for this option: %s", optarg,
						 argv[optind - 1] == optarg ? argv[optind - 2] : argv[optind - 1]);
	}
	/* commands run elsewhere, so the path must not depend on where we are */
	options->work_dir = realpath(work_dir, NULL);
	if (options->work_dir == NULL)
		return wrong("no directory %s for the runs; give one with --work-dir", work_dir);
	if (spool == NULL)
		options->spool = xprintf("%s/benchorch-spool-%d", options->work_dir, (int) geteuid());
	else if (*spool == '/')
		options->spool = xstrdup(spool);
	else
	{
		char	   *here = getcwd(NULL, 0);

		options->spool = xprintf("%s/%s", here ? here : ".", spool);
		free(here);
	}
	if (options->keep && options->run_one == NULL)
		return wrong("--keep is for --run-one");
	if (optind < argc)
		return wrong("unexpected argument \"%s\"", argv[optind]);
	return -1;
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
