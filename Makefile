# benchorch: the extension (PGXS), the worker, the engine, and what runs them.
#
#   make              builds everything; needs PostgreSQL's server headers, libpq and gcc
#   make install      installs below DESTDIR
#   make check        every test, on private clusters
#   make demo         from nothing to a ranking on this machine's CPU; make demo-stop removes it
#   make lint, make format, make bench

EXTENSION = benchorch
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" benchorch.control)

# The install script is src/*.sql in this order: each file uses only what stands above it.
CAPABILITIES = schema catalog ready progress status matrix claim recovery results ranking operators watch security
EXTENSION_PARTS = $(CAPABILITIES:%=src/%.sql)
EXTENSION_SQL = benchorch--$(EXTVERSION).sql

MODULE_big = benchorch
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))
DATA_built = $(EXTENSION_SQL)
EXTRA_CLEAN = $(EXTENSION_SQL) build results output_iso tmp_check regression.diffs regression.out log

PG_CPPFLAGS = -DBENCHORCH_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h) benchorch.control

$(EXTENSION_SQL): $(EXTENSION_PARTS) benchorch.control Makefile
	printf '%s\n' '\echo Use "CREATE EXTENSION benchorch" to load this file. \quit' > $@.tmp
	cat $(EXTENSION_PARTS) >> $@.tmp
	mv $@.tmp $@
