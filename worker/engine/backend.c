/*
 * backend.c: which backends there are.
 *
 * A plugin lies beside the program, or where BENCHORCH_ENGINE_PLUGINS says.  It
 * is opened only when it is asked for by name, or for "auto" where the NVIDIA
 * driver has made a device file, so that a machine without a GPU loads nothing.
 */
#define _GNU_SOURCE
#include "backend.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE_FILE "/dev/nvidiactl"

static void
plugin_path(const char *name, char *path, size_t size)
{
	const char *directory = getenv("BENCHORCH_ENGINE_PLUGINS");
	char		program[PATH_MAX];
	ssize_t		length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char	   *slash;

	program[length < 0 ? 0 : length] = 0;
	slash = strrchr(program, '/');
	if (slash != NULL)
		*slash = 0;
	snprintf(path, size, "%s/benchorch-engine-%s.so", directory != NULL ? directory : program, name);
}

/* the library stays loaded until the process ends; its device must be there, too */
static enum engine_status
open_plugin(const char *name, const struct backend_operations **operations, struct engine_error *error)
{
	char		path[2 * PATH_MAX];
	void	   *library;

	plugin_path(name, path, sizeof(path));
	if (access(path, F_OK) != 0)
		return engine_fail(error, ENGINE_NO_DEVICE,
						   "backend \"%s\" was not built: there is no %.400s (it is where make finds nvcc)", name, path);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return engine_fail(error, ENGINE_NO_DEVICE, "backend \"%s\" cannot be loaded: %.400s", name, dlerror());
	*operations = dlsym(library, BACKEND_SYMBOL);
	if (*operations == NULL || (*operations)->interface != BACKEND_INTERFACE)
		return engine_fail(error, ENGINE_NO_DEVICE, "%.400s is of another version of benchorch-engine", path);
	return (*operations)->probe(error);
}

enum engine_status
backend_find(const char *name, const struct backend_operations **operations, struct engine_error *error)
{
	error->message[0] = 0;
	if (strcmp(name, "cuda") == 0)
		return open_plugin(name, operations, error);
	if (strcmp(name, "auto") != 0 && strcmp(name, "cpu") != 0)
		return engine_fail(error, ENGINE_USAGE, "there is no backend \"%s\", only auto, cpu and cuda", name);
	if (strcmp(name, "auto") == 0 && access(DEVICE_FILE, F_OK) == 0 &&
		open_plugin("cuda", operations, error) == ENGINE_OK)
		return ENGINE_OK;
	*operations = &cpu_backend;
	return ENGINE_OK;
}
