/*
 * What a config's commands are run with: arguments, environment, directory.
 *
 * Most values of placeholders come from the database ready-made; the worker
 * adds what only it knows: paths, the port, its own hardware's name.
 *
 * A command gets few variables of the worker's environment: where programs
 * and libraries are, and what the usual tools are configured by.  The
 * database's (PG*) are never among them.
 */
#include "command.h"

#include "log.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const passed_names[] = {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH"};
static const char *const passed_prefixes[] = {"LC_", "HF_", "NCCL_", "CUDA_", "VLLM_", "SGLANG_", "OMP_", "OPENBLAS_"};

/* -------------------------------------------------------------- arguments */

static void
make_values(const Config *config, const RunSettings *settings, const Given *given, Pairs *values)
{
	char		port[16] = "";

	if (given->port > 0)
		snprintf(port, sizeof(port), "%d", given->port);
	pairs_split(values, config->values);
	pairs_add(values, "hardware", config->hardware ? config->hardware : settings->hardware);
	pairs_add(values, "config_json", config->json);
	pairs_add(values, "result_file", given->result_file);
	pairs_add(values, "work_dir", given->directory);
	pairs_add(values, "port", given->port > 0 ? port : NULL);
}

char **
command_fill(const char *command, const Config *config, const RunSettings *settings, const Given *given, Buffer *error)
{
	Pairs		values = {0};
	int			count;
	char	  **elements = strings_split(command, &count);
	char	  **filled = NULL;

	make_values(config, settings, given, &values);
	if (count > 0)
		filled = template_fill_command(elements, &values, error);
	else
		buffer_puts(error, "the framework has no command; give it one with register_framework()");
	if (filled != NULL && filled[0] == NULL)
	{
		buffer_puts(error, "the framework's command is empty with this config's values");
		strings_free(filled);
		filled = NULL;
	}
	strings_free(elements);
	pairs_free(&values);
	return filled;
}

bool
command_names(const char *command, const char *placeholder)
{
	int			count;
	char	  **elements = strings_split(command, &count);
	bool		found = template_names(elements, placeholder);

	strings_free(elements);
	return found;
}

/* ------------------------------------------------------------ environment */

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

char **
command_environment(const Config *config, const RunSettings *settings)
{
	Pairs		own = {0};
	char	  **env;
	int			count = 0, n = 0;
	bool		has_path = false;
	char	   *gpus = hardware_visible_gpus(settings->machine, config->gpus);

	pairs_split(&own, config->env);
	if (config->protocol == PROTOCOL_STREAM)
		pairs_add(&own, "BENCHORCH_STREAM", "1");
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

/* -------------------------------------------------------------- directory */

char *
command_directory(const Config *config, const RunSettings *settings, Buffer *error)
{
	char	   *directory = xprintf("%s/benchorch-%s-XXXXXX", settings->work_dir, config->config_id);

	if (mkdtemp(directory) != NULL)
		return directory;
	buffer_printf(error, "could not create a directory in %s: %s; choose another with --work-dir", settings->work_dir,
				  strerror(errno));
	free(directory);
	return NULL;
}

static bool opened;				/* a directory whose entries could not be removed so far */

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void) ftw;
	if (type != FTW_DP && type != FTW_D && type != FTW_DNR)
		unlink(path);
	else if (rmdir(path) < 0 && (info->st_mode & S_IRWXU) != S_IRWXU && chmod(path, S_IRWXU) == 0)
		opened = true;
	return 0;
}

void
command_remove_directory(char *directory, const RunSettings *settings)
{
	struct stat info;

	if (directory != NULL && settings->keep)
		fprintf(stderr, "kept: %s\n", directory);
	else if (directory != NULL)
	{
		do
		{
			opened = false;
			nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
		} while (opened);
		if (lstat(directory, &info) == 0)
			log_message(LOG_WARNING, "directory_left",
						"could not remove all of %s: files of another user, or a file system mounted there; remove it",
						directory);
	}
	free(directory);
}
