/*
 * benchorch-worker: runs what a benchorch database has to be benchmarked.
 *
 * Sets everything up: options, log, events, the connection, the names of
 * worker, hardware and frameworks; the work itself is in worker.c.
 */
#include "byhand.h"
#include "calls.h"
#include "events.h"
#include "log.h"
#include "process.h"
#include "registration.h"
#include "template.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_PATIENCE 30.0	/* seconds for the first connection */
#define DEFAULT_FRAMEWORK "benchorch-engine"
#define MAX_SLOTS 1024

/* The directory that this binary stands in; NULL where that cannot be told. */
static char *
own_directory(void)
{
	char		path[PATH_MAX];
	ssize_t		len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char	   *slash;

	if (len <= 0)
		return NULL;
	path[len] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	return xstrdup(path);
}

static bool
is_executable(const char *directory, size_t len, const char *name)
{
	char	   *path = xprintf("%.*s/%s", (int) len, directory, name);
	struct stat info;
	bool		yes = stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;

	free(path);
	return yes;
}

static bool
is_installed(const char *name, const char *directory)
{
	const char *path = getenv("PATH");

	if (directory != NULL && is_executable(directory, strlen(directory), name))
		return true;
	while (path != NULL && *path != '\0')
	{
		size_t		len = strcspn(path, ":");

		if (len > 0 && is_executable(path, len, name))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

/*
 * Takes a worker name on this machine for this database, so that two
 * processes are never one worker: the second would end the first one's
 * claims.  The lock is an abstract socket, which vanishes with the process.
 */
static bool
lock_name(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int			len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "benchorch-worker %s %s", name,
					   database_address());

	if (len > (int) sizeof(address.sun_path) - 1)
		len = sizeof(address.sun_path) - 1;
	if (fd < 0)
		return true;
	if (bind(fd, (struct sockaddr *) &address, offsetof(struct sockaddr_un, sun_path) + 1 + len) == 0)
		return true;			/* held until the process ends */
	close(fd);
	return errno != EADDRINUSE;
}

/* The name that was given, or HOST-SLOT with the first free slot; NULL, the error told, where it is taken. */
static char *
choose_name(const Options *options, const Machine *machine)
{
	if (options->name != NULL)
	{
		if (lock_name(options->name))
			return xstrdup(options->name);
		log_message(LOG_ERROR, "usage", "a worker named \"%s\" runs on this machine; give each its own --name",
					options->name);
		return NULL;
	}
	for (int slot = 0; slot < MAX_SLOTS; slot++)
	{
		char	   *name = xprintf("%s-%d", machine->host, slot);

		if (lock_name(name))
			return name;
		free(name);
	}
	log_message(LOG_ERROR, "usage", "no free worker slot on %s; give a --name", machine->host);
	return NULL;
}

/*
 * The GPUs of this worker, and what the matrix calls such a machine, as a new
 * text in *hardware; 0, or the exit code.
 */
static int
choose_hardware(const Options *options, Machine *machine, char **hardware)
{
	Buffer		text = {0};
	int			code = 0;

	if (machine->sick != NULL && options->hardware == NULL)
	{
		log_message(LOG_ERROR, "sick", "nothing is claimed: %s", machine->sick);
		return EXIT_TEMPORARY;
	}
	if (!options->register_only && !hardware_take_gpus(machine, options->gpus, &text))
	{
		log_message(LOG_ERROR, "usage", "%s", text.data);
		code = EXIT_BAD_USAGE;
	}
	else if (options->hardware != NULL)
		*hardware = xstrdup(options->hardware);
	else if (machine->gpu_count == 0)
		*hardware = xstrdup(machine->hardware);
	else
	{
		const GpuInfo *gpu = &machine->gpus[0];
		DatabaseStatus status = call_match_hardware(gpu->name, machine->all_gpus, gpu->memory_bytes, &text);

		if (status != DATABASE_OK)
		{
			log_message(LOG_ERROR, "refused", "could not look up the hardware: %s", database_message());
			code = status == DATABASE_AWAY ? EXIT_TEMPORARY : EXIT_BAD_CONFIG;
		}
		else if (text.len == 0)
			log_message(LOG_WARNING, "hardware_unknown",
						"no hardware_configs row matches %d x %s with %.1f GiB; this machine is registered as %s, not enabled",
						machine->all_gpus, gpu->name, gpu->memory_bytes / (1024.0 * 1024 * 1024), machine->hardware);
		*hardware = xstrdup(text.len > 0 ? text.data : machine->hardware);
	}
	buffer_free(&text);
	return code;
}

/* Tells why there is no connection; the exit code. */
static int
connect_failure(void)
{
	if (!database_is_hopeless())
	{
		log_message(LOG_ERROR, "database_away", "the database cannot be reached: %s; look at --db or PGHOST",
					database_message());
		return EXIT_TEMPORARY;
	}
	if (*database_sqlstate() == '\0')
	{
		log_message(LOG_ERROR, "usage",
					"%s; give --db a connection string like \"host=db.example.com dbname=bench\", or set PGHOST, "
					"PGDATABASE and so on",
					database_message());
		return EXIT_BAD_USAGE;
	}
	log_message(LOG_ERROR, "refused",
				"the database refuses the connection: %s; look at user, password and dbname (--db or PGUSER, "
				"PGPASSFILE, PGDATABASE), and at the server's pg_hba.conf",
				database_message());
	return EXIT_BAD_CONFIG;
}

/* Registers, and works unless that was all; the exit code. */
static int
be_worker(const WorkerSetup *setup)
{
	int			code = worker_register(setup);

	if (code != 0)
		return code;
	if (setup->options->register_only)
	{
		printf("%s %s\n", registration_id(), setup->hardware);
		return 0;
	}
	if (events_stop_signal() == 0)
		database_set_limit(EVENTS_NEVER);
	return worker_work();
}

/* From the options to the connection, the hardware, and the work; the exit code. */
static int
serve(const Options *options)
{
	Machine		machine = {0};
	char	   *directory = own_directory();
	char	   *name = NULL;
	char	   *hardware = NULL;
	int			code;
	const char *wanted = buffer_text(&options->frameworks);

	hardware_detect(&machine);
	database_set_limit(events_now() + CONNECT_PATIENCE);
	if (*wanted == '\0' && is_installed(DEFAULT_FRAMEWORK, directory))
		wanted = DEFAULT_FRAMEWORK;
	if (*wanted == '\0' && options->run_one == NULL)
	{
		log_message(LOG_ERROR, "usage",
					DEFAULT_FRAMEWORK " is not installed here; say with --framework what this worker can run");
		code = EXIT_BAD_USAGE;
	}
	else if (!database_connect())
		code = connect_failure();
	else if (options->run_one == NULL && (name = choose_name(options, &machine)) == NULL)
		code = EXIT_BAD_USAGE;
	else if ((code = choose_hardware(options, &machine, &hardware)) == 0)
	{
		WorkerSetup setup = {
			.options = options,
			.machine = &machine,
			.name = name,
			.hardware = hardware,
			.frameworks = wanted,
			.run_settings =
				{
					.machine = &machine,
					.hardware = hardware,
					.work_dir = options->work_dir,
					.pass_env = options->pass_env,
					.silence = options->silence,
					.own_directory = directory,
					.keep = options->keep,
				},
		};

		code = options->run_one ? byhand_run(options->run_one, &setup.run_settings) : be_worker(&setup);
	}
	if (events_stop_signal() != 0 && code == EXIT_TEMPORARY)
		code = EXIT_SIGNALLED + events_stop_signal();

	hardware_free(&machine);
	free(directory);
	free(name);
	free(hardware);
	return code;
}

/* A descriptor of ours must never be taken for standard input, output or error, where those are closed. */
static bool
open_standard(void)
{
	int			fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int
main(int argc, char **argv)
{
	Options		options = {0};
	int			code = open_standard() ? options_parse(&options, argc, argv) : EXIT_TEMPORARY;

	if (code < 0)
	{
		if (!log_open(options.log, options.quiet))
		{
			fprintf(stderr, "benchorch-worker: could not open %s: %s; give another file with --log\n", options.log,
					strerror(errno));
			code = EXIT_BAD_USAGE;
		}
		else if (!events_open(options.run_one ? byhand_on_stop : worker_on_stop) || !process_init())
		{
			fprintf(stderr, "benchorch-worker: could not set up signals and child processes: %s\n", strerror(errno));
			code = EXIT_TEMPORARY;
		}
		else
		{
			for (char **variable = environ; *variable; variable++)
				log_add_secret(*variable);
			srand48(time(NULL) ^ ((long) getpid() << 16));
			database_init(options.db, "benchorch-worker");
			code = serve(&options);
			database_close();
			events_close();
			log_close();
		}
	}
	options_free(&options);
	return code;
}
