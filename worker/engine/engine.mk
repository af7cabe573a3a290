# engine.mk: builds benchorch-engine and its reference test.
#
# Included by the top-level Makefile; works alone too, from the repository's
# root: make -f worker/engine/engine.mk
#
# The inner loops are compiled once for each set of vector instructions and
# chosen at run time, so nothing here may ask for -march=native.

ENGINE_DIR = worker/engine
ENGINE_BUILD = build/engine
ENGINE_CC ?= gcc
ENGINE_CFLAGS ?= -O3 -g
# a name of its own: PGXS has a VERSION, which is PostgreSQL's
ENGINE_VERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" benchorch.control)

ENGINE_FLAGS = -std=gnu11 -Wall -Wextra -Werror -pthread -I$(ENGINE_DIR) -MMD -MP

ENGINE_MODULES = backend config cpu cpu_attention cpu_blas cpu_forward cpu_linear cpu_memory cpu_rates \
	engine json machine measure model options pool report roofline sensors session statistics stream
ENGINE_KERNELS = plain
ifneq ($(filter x86_64-%,$(shell $(ENGINE_CC) -dumpmachine)),)
ENGINE_KERNELS += avx2 avx512
endif
ENGINE_KERNEL_FLAGS_plain =
ENGINE_KERNEL_FLAGS_avx2 = -mavx2 -mfma
ENGINE_KERNEL_FLAGS_avx512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512

ENGINE_MODULE_OBJECTS = $(ENGINE_MODULES:%=$(ENGINE_BUILD)/%.o)
ENGINE_KERNEL_OBJECTS = $(ENGINE_KERNELS:%=$(ENGINE_BUILD)/cpu_kernels_%.o)
ENGINE_COMMON = $(ENGINE_MODULE_OBJECTS) $(ENGINE_KERNEL_OBJECTS)

.PHONY: engine engine-tests engine-check
engine: build/benchorch-engine
engine-tests: build/benchorch-engine build/test-engine-reference
engine-check: engine-tests
	prove --ext .t --exec '' build/test-engine-reference
	prove test/engine

build/benchorch-engine: $(ENGINE_BUILD)/main.o $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -pthread -o $@ $^ -lm -ldl

build/test-engine-reference: $(ENGINE_BUILD)/test-reference.o $(ENGINE_BUILD)/test-transformer.o $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -pthread -o $@ $^ -lm -ldl

$(ENGINE_KERNEL_OBJECTS): $(ENGINE_BUILD)/cpu_kernels_%.o: $(ENGINE_DIR)/cpu_kernels.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) $(ENGINE_KERNEL_FLAGS_$*) -DKERNELS=$* -c -o $@ $<

ENGINE_VERSIONED = $(ENGINE_BUILD)/options.o $(ENGINE_BUILD)/report.o
$(ENGINE_VERSIONED): ENGINE_FLAGS += -DBENCHORCH_VERSION='"$(ENGINE_VERSION)"'
$(ENGINE_VERSIONED): benchorch.control

$(ENGINE_MODULE_OBJECTS) $(ENGINE_BUILD)/main.o: $(ENGINE_BUILD)/%.o: $(ENGINE_DIR)/%.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) -c -o $@ $<

$(ENGINE_BUILD)/test-%.o: test/engine/%.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) -c -o $@ $<

$(ENGINE_BUILD):
	mkdir -p $@

-include $(wildcard $(ENGINE_BUILD)/*.d)
