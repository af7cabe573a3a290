# benchorch: the extension (PGXS), the worker and the engine, and what runs them.
#
#   make              builds everything; needs PostgreSQL's server headers, libpq and gcc
#   make install      installs it, below DESTDIR where that is given
#   make demo         from nothing to a ranking on this machine's CPU; make demo-stop removes it
#   make check        every test, on clusters of its own; make deps installs what that and lint need
#   make bench        benchorch beside other queues, minutes; make bench-quick: the hot path alone; make bench-makespan: whole pools;
#                     bench-runner: the worker; bench-engine: the CPU engine; bench-ranking: finalize()
#   make soak         10^6 random operations against the reference model; make kills: 1,000 killed workers, 20 immediate stops of the
#                     server; make mutants: whether the random operations notice when the product is broken
#   make worker-sanitize   the worker's tests with AddressSanitizer and UBSan, then under valgrind, about an hour
#   make gpu-check    everything that needs a GPU, in a few minutes; says so where there is none (status 77)
#   make lint         formatting, warnings and static analysis; make format formats
#
# PG_CONFIG=/path/to/pg_config chooses the PostgreSQL; with_llvm=no builds no bitcode.

EXTENSION = benchorch
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" benchorch.control)
PG_CONFIG ?= pg_config

# The install script is src/*.sql in this order: each file uses only what stands above it.
CAPABILITIES = schema arguments models expected catalog ready progress status matrix claim runner recovery \
	adapters tools checks reference requests evaluate imports results outcomes ranking leaderboards advice budget operators releases watch report security
EXTENSION_PARTS = $(patsubst src/report.sql,build/chart_library.sql src/report.sql,$(CAPABILITIES:%=src/%.sql))
EXTENSION_SQL = benchorch--$(EXTVERSION).sql

# The tests in this order, all in one database; one that is not named here comes last.
REGRESS := $(strip $(foreach test,catalog expected matrix claim status direct recovery progress results outcomes ranking leaderboards advice budget operators releases watch report security,\
	$(patsubst sql/%.sql,%,$(wildcard sql/$(test).sql))))
REGRESS += $(filter-out $(REGRESS),$(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql))))
ISOLATION := $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
REGRESS_OPTS = --load-extension=benchorch
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=benchorch

# What runs by itself and builds what it needs in a place of its own.
ALONE = bench bench-engine bench-makespan bench-quick bench-ranking bench-runner check deps demo demo-stop format gpu-check kills lint mutants soak print-regress print-isolation worker-sanitize
.PHONY: $(ALONE)

ifeq ($(filter-out $(ALONE),$(or $(MAKECMDGOALS),all)),)

export PG_CONFIG

check:
	@test/run
bench:
	@test/bench/bench
bench-quick:
	@test/bench/bench --quick
bench-engine:
	@test/bench/engine
bench-makespan:
	@test/bench/makespan
bench-ranking:
	@test/bench/ranking
bench-runner:
	@test/bench/runner
soak:
	@BENCHORCH_RANDOM_OPERATIONS=1000000 BENCHORCH_TEST_SECONDS=14400 test/run random
kills:
	@BENCHORCH_KILLS=1000 BENCHORCH_STOPS=20 BENCHORCH_TEST_SECONDS=14400 test/run 011_crash 033_worker_recovery
worker-sanitize:
	@BENCHORCH_SANITIZE=1 BENCHORCH_TEST_SECONDS=1800 test/run worker-units worker-cgroup 03
	@BENCHORCH_SANITIZE=2 BENCHORCH_TEST_SECONDS=3600 test/run worker-units worker-cgroup 03
mutants:
	@test/mutants
deps:
	@test/packages install all
demo:
	@test/demo
demo-stop:
	@test/demo stop
format gpu-check lint:
	@test/$@
print-regress:
	@echo $(REGRESS)
print-isolation:
	@echo $(ISOLATION)

else ifneq ($(filter $(ALONE),$(MAKECMDGOALS)),)
$(error Call make $(firstword $(filter $(ALONE),$(MAKECMDGOALS))) by itself: it builds what it needs)
else

MODULE_big = benchorch
OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))
DATA_built = $(EXTENSION_SQL)
EXTRA_CLEAN = $(EXTENSION_SQL) build results output_iso tmp_check regression.diffs regression.out log

PG_CPPFLAGS = -DBENCHORCH_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error There are no headers of a PostgreSQL server here ($(PG_CONFIG) --pgxs). On Debian: \
	apt-get install postgresql-server-dev-15 (12) or postgresql-server-dev-17 (13), libpq-dev and gcc; make deps does it. \
	Elsewhere: PG_CONFIG=/path/to/pg_config)
endif
include $(PGXS)
include worker/agent/agent.mk
include worker/engine/engine.mk

$(OBJS): $(wildcard src/*.h) benchorch.control

$(EXTENSION_SQL): $(EXTENSION_PARTS) benchorch.control Makefile
	printf '%s\n' '\echo Use "CREATE EXTENSION benchorch" to load this file. \quit' > $@.tmp
	cat $(EXTENSION_PARTS) >> $@.tmp
	mv $@.tmp $@

# The chart library of report_html(), as a function; nothing is loaded when a page is opened.
UPLOT = vendor/uplot/uPlot.iife.min.js vendor/uplot/uPlot.min.css vendor/uplot/LICENSE
build/chart_library.sql: $(UPLOT) Makefile
	mkdir -p build
	{ printf '%s\n' 'CREATE FUNCTION benchorch.chart_library(OUT script text, OUT style text, OUT license text) RETURNS record' \
		'LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$chart$$ SELECT'; \
	separator=; for file in $(UPLOT); do printf '%s $$file$$' "$$separator"; cat "$$file"; printf '$$file$$'; separator=,; done; \
	printf ' $$chart$$;\n%s\n' "COMMENT ON FUNCTION benchorch.chart_library() IS 'uPlot, which draws the charts of report_html(): script, style and licence';"; } > $@.tmp
	mv $@.tmp $@

# The programs go where PostgreSQL's own are (pg_config --bindir).
PROGRAMS = benchorch-worker benchorch-engine

.PHONY: tests install-programs uninstall-programs
all: worker engine
tests: all worker-tests engine-tests
install: install-programs
uninstall: uninstall-programs
install-programs: worker engine
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(PROGRAMS:%=build/%) '$(DESTDIR)$(bindir)/'
	for plugin in $(wildcard build/*.so); do $(INSTALL_SHLIB) $$plugin '$(DESTDIR)$(bindir)/'; done
uninstall-programs:
	rm -f $(PROGRAMS:%='$(DESTDIR)$(bindir)/%') '$(DESTDIR)$(bindir)/benchorch-engine-cuda.so'

endif
