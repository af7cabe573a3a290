/*
 * cpu_blas.c: OpenBLAS, found at run time or not at all.
 *
 * OpenBLAS reads its environment in its constructors, so everything that it
 * should know is set before dlopen():
 *
 * - The core type.  Versions before 0.3.22 fall back to SSE3 kernels on CPUs
 *   that they do not know, five times slower than the right ones; so we name
 *   the type by what the CPU can do.  An OPENBLAS_CORETYPE that happens to be
 *   set, often for a whole container, is overridden: it may be as slow and
 *   would go unnoticed.  Who means it says BENCHORCH_BLAS_CORETYPE.
 * - One thread.  The engine's pool divides the work and calls it from each of
 *   its threads.  That suits every build of the library alike (OpenMP, pthread)
 *   and leaves no second set of threads to compete with ours or to spin.
 */
#define _GNU_SOURCE
#include "cpu_blas.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_kernels.h"

#if defined(__x86_64__)
#define MULTIARCH "x86_64-linux-gnu"
#elif defined(__aarch64__)
#define MULTIARCH "aarch64-linux-gnu"
#else
#define MULTIARCH "."
#endif

/* Debian's OpenMP build by its path, then whatever the system calls OpenBLAS */
static const char *const names[] = {
	"/usr/lib/" MULTIARCH "/openblas-openmp/libopenblas.so.0",
	"libopenblas.so.0",
	"libopenblaso.so.0",
	"libopenblasp.so.0",
	"libopenblas.so",
};

static void
prepare_environment(void)
{
	const char *coretype = getenv("BENCHORCH_BLAS_CORETYPE");

#if defined(__x86_64__)
	if (coretype == NULL && cpu_has_avx512())
		coretype = "SkylakeX";
	if (coretype == NULL && cpu_has_avx2())
		coretype = "Haswell";
#endif
	if (coretype != NULL)
		setenv("OPENBLAS_CORETYPE", coretype, 1);
	setenv("OPENBLAS_NUM_THREADS", "1", 1);
	setenv("OMP_NUM_THREADS", "1", 1);
	setenv("OMP_WAIT_POLICY", "passive", 1);
}

/* a function of the library; the cast to its type is the caller's */
static void *
symbol(void *library, const char *name)
{
	return dlsym(library, name);
}

struct cpu_blas
cpu_blas_load(bool wanted, int threads)
{
	struct cpu_blas blas = {.library = "not wanted"};
	void	   *library = NULL;
	struct link_map *map;
	char *(*get_text)(void);
	int (*get_parallel)(void);
	void (*set_threads)(int);

	if (!wanted)
		return blas;
	prepare_environment();
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && library == NULL; i++)
		library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
	{
		snprintf(blas.library, sizeof(blas.library), "no libopenblas found");
		return blas;
	}
	if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0)
		snprintf(blas.library, sizeof(blas.library), "%s", map->l_name);
	*(void **) &get_text = symbol(library, "openblas_get_corename");
	if (get_text != NULL)
		snprintf(blas.corename, sizeof(blas.corename), "%s", get_text());
	*(void **) &get_text = symbol(library, "openblas_get_config");
	if (get_text != NULL)
		snprintf(blas.version, sizeof(blas.version), "%s", get_text());
	*(void **) &set_threads = symbol(library, "openblas_set_num_threads");
	if (set_threads != NULL)
		set_threads(1);

	/* a build without threads does not promise that threads may call it */
	*(void **) &get_parallel = symbol(library, "openblas_get_parallel");
	if (threads > 1 && (get_parallel == NULL || get_parallel() == 0))
		snprintf(blas.library, sizeof(blas.library), "not used: %.200s is built without threads", map->l_name);
	else
		*(void **) &blas.sgemm = symbol(library, "cblas_sgemm");
	return blas;
}
