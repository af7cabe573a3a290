# benchorch-worker and its unit tests.  Included by the top-level Makefile, or by itself from there:
#   make -f worker/agent/agent.mk worker worker-tests

EXTVERSION ?= $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" benchorch.control)
PG_CONFIG ?= pg_config

AGENT_CC ?= gcc
AGENT_CFLAGS ?= -O2 -g
AGENT_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -MMD \
	-DBENCHORCH_VERSION='"$(EXTVERSION)"' -I$(shell $(PG_CONFIG) --includedir)
AGENT_LIBS := -L$(shell $(PG_CONFIG) --libdir) -lpq -lm -ldl

AGENT_SOURCES := $(wildcard worker/agent/*.c)
AGENT_OBJECTS := $(AGENT_SOURCES:worker/agent/%.c=build/agent/%.o)
AGENT_TEST_OBJECTS := $(patsubst worker/agent/test/%.c,build/agent/test/%.o,$(wildcard worker/agent/test/*.c))

# the same worker, with points where it kills itself: faults.h
AGENT_FAULTS_OBJECTS := $(AGENT_SOURCES:worker/agent/%.c=build/agent-faults/%.o) build/agent/test/faults.o

.PHONY: worker worker-tests
worker: build/benchorch-worker
worker-tests: build/test-agent build/test-cgroup build/benchorch-worker-faults build/fake-nvml/libnvidia-ml.so.1

build/benchorch-worker: $(AGENT_OBJECTS)
	$(AGENT_CC) $(AGENT_CFLAGS) -o $@ $^ $(AGENT_LIBS)

build/test-agent: $(filter-out build/agent/main.o,$(AGENT_OBJECTS)) $(AGENT_TEST_OBJECTS)
	$(AGENT_CC) $(AGENT_CFLAGS) -o $@ $^ $(AGENT_LIBS)

build/test-cgroup: $(filter-out build/agent/main.o,$(AGENT_OBJECTS)) build/agent/test/cgroup/test_cgroup.o
	$(AGENT_CC) $(AGENT_CFLAGS) -o $@ $^ $(AGENT_LIBS)

build/benchorch-worker-faults: $(AGENT_FAULTS_OBJECTS)
	$(AGENT_CC) $(AGENT_CFLAGS) -o $@ $^ $(AGENT_LIBS)

# a driver that says what a file tells it, for machines without GPU
build/fake-nvml/libnvidia-ml.so.1: worker/agent/test/nvml/fake.c worker/agent/agent.mk
	@mkdir -p $(@D)
	$(AGENT_CC) -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fPIC -shared -o $@ $<

build/agent-faults/%.o: worker/agent/%.c worker/agent/agent.mk benchorch.control
	@mkdir -p $(@D)
	$(AGENT_CC) $(AGENT_FLAGS) -DBENCHORCH_FAULTS $(AGENT_CFLAGS) -c -o $@ $<

build/agent/%.o: worker/agent/%.c worker/agent/agent.mk benchorch.control
	@mkdir -p $(@D)
	$(AGENT_CC) $(AGENT_FLAGS) $(AGENT_CFLAGS) -c -o $@ $<

-include $(wildcard build/agent/*.d build/agent/test/*.d build/agent/test/*/*.d build/agent-faults/*.d)
