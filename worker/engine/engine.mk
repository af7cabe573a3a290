# engine.mk: builds benchorch-engine, its CUDA plugin where nvcc is, and its tests.
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

# The CUDA backend is a plugin, built where there is nvcc; the program does without it.
# NVCC= builds none, NVCC=/path/to/nvcc another.
NVCC ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) $(shell command -v nvcc 2>/dev/null))
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(NVCC))
ENGINE_CXX ?= g++
CUDA_MODULES = cuda cuda_error cuda_forward cuda_memory cuda_nvml cuda_product cuda_rates
CUDA_SHARED_MODULES = engine machine model
CUDA_KERNELS = cuda_fill cuda_prompt cuda_read cuda_step cuda_vector
CUDA_PLUGIN = build/benchorch-engine-cuda.so
CUDA_TARGETS = -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=sm_90 -gencode=arch=compute_90,code=compute_90
# a register that is spilled, or any warning, ends the build
CUDA_FLAGS = -std=c++17 -O3 -Werror all-warnings -Xptxas -v,-warn-spills,-Werror -Xcompiler -fPIC,-Wall,-Wextra,-fvisibility=hidden
CUDA_MODULE_OBJECTS = $(CUDA_MODULES:%=$(ENGINE_BUILD)/plugin/%.o) $(CUDA_SHARED_MODULES:%=$(ENGINE_BUILD)/plugin/%.o)
CUDA_KERNEL_OBJECTS = $(CUDA_KERNELS:%=$(ENGINE_BUILD)/plugin/%.cu.o)

.PHONY: engine engine-tests engine-check engine-cuda engine-rehearsal
engine: build/benchorch-engine engine-cuda
engine-tests: engine build/test-engine-reference build/test-engine-measure
ifneq ($(NVCC),)
engine-cuda: $(CUDA_PLUGIN)
	@echo 'benchorch-engine: with CUDA, by $(NVCC)'
engine-tests: build/test-engine-cuda
else
engine-cuda:
	@echo 'benchorch-engine: without CUDA, for there is no nvcc here'
endif
ifneq ($(shell command -v $(ENGINE_CXX) 2>/dev/null),)
engine-tests: build/test-engine-emulated engine-rehearsal
endif
engine-check: engine-tests
	prove --ext .t --exec '' build/test-engine-reference build/test-engine-measure $(wildcard build/test-engine-emulated)
	prove test/engine

build/benchorch-engine: $(ENGINE_BUILD)/main.o $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -pthread -o $@ $^ -lm -ldl

build/test-engine-reference: $(ENGINE_BUILD)/test-reference.o $(ENGINE_BUILD)/test-transformer.o $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -pthread -o $@ $^ -lm -ldl

# with a clock of its own, so without machine.c
build/test-engine-measure: $(ENGINE_BUILD)/test-measure.o $(addprefix $(ENGINE_BUILD)/,engine.o measure.o model.o roofline.o statistics.o)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -o $@ $^ -lm

build/bench-engine: test/bench/engine.c $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -o $@ $< $(ENGINE_COMMON) -lm -ldl

$(ENGINE_KERNEL_OBJECTS): $(ENGINE_BUILD)/cpu_kernels_%.o: $(ENGINE_DIR)/cpu_kernels.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) $(ENGINE_KERNEL_FLAGS_$*) -DKERNELS=$* -c -o $@ $<

ENGINE_VERSIONED = $(ENGINE_BUILD)/options.o $(ENGINE_BUILD)/report.o
$(ENGINE_VERSIONED): ENGINE_FLAGS += -DBENCHORCH_VERSION='"$(ENGINE_VERSION)"'
$(ENGINE_VERSIONED): benchorch.control

$(ENGINE_MODULE_OBJECTS) $(ENGINE_BUILD)/main.o: $(ENGINE_BUILD)/%.o: $(ENGINE_DIR)/%.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) -c -o $@ $<

build/test-engine-cuda: $(ENGINE_BUILD)/test-cuda.o $(ENGINE_BUILD)/test-transformer.o $(ENGINE_COMMON)
	$(ENGINE_CC) $(ENGINE_CFLAGS) $(ENGINE_LDFLAGS) -pthread -o $@ $^ -lm -ldl

$(CUDA_PLUGIN): $(CUDA_MODULE_OBJECTS) $(CUDA_KERNEL_OBJECTS)
	$(ENGINE_CC) -shared -o $@.tmp $^ -Wl,-rpath,$(CUDA_HOME)/lib64 -L$(CUDA_HOME)/lib64 -lcublasLt -lcudart_static \
		-lrt -lpthread -ldl -lstdc++ -lm
	mv $@.tmp $@

$(CUDA_MODULE_OBJECTS): $(ENGINE_BUILD)/plugin/%.o: $(ENGINE_DIR)/%.c | $(ENGINE_BUILD)/plugin
	$(ENGINE_CC) $(ENGINE_FLAGS) -isystem $(CUDA_HOME)/include -fPIC -fvisibility=hidden $(ENGINE_CFLAGS) -c -o $@ $<

# what ptxas says about each kernel stays beside the object, for the tests to read
$(CUDA_KERNEL_OBJECTS): $(ENGINE_BUILD)/plugin/%.cu.o: $(ENGINE_DIR)/%.cu $(wildcard $(ENGINE_DIR)/cuda_*h) | $(ENGINE_BUILD)/plugin
	@echo '$(NVCC) $<'
	@$(NVCC) $(CUDA_FLAGS) $(CUDA_TARGETS) --threads 2 -I$(ENGINE_DIR) -c -o $@ $< >$@.log 2>&1 || { cat $@.log; rm -f $@; exit 1; }

# The emulation: the same sources, kernels included, on the CPU; a prompt's chunks are small, to have several, and so is calibration.
EMULATION_DIR = test/engine/emulation
EMULATION_FLAGS = -O2 -g -fPIC -Wall -Wextra -Werror -DCUDA_EMULATION -DCUDA_PREFILL_ROWS=96 -DCUDA_RATES_MATRIX=64 -I$(EMULATION_DIR) -I$(ENGINE_DIR) -MMD -MP
EMULATION_C = $(CUDA_MODULES) $(CUDA_SHARED_MODULES)
EMULATION_OBJECTS = $(CUDA_KERNELS:%=$(ENGINE_BUILD)/emulated/%.cu.o) $(EMULATION_C:%=$(ENGINE_BUILD)/emulated/%.o) \
	$(ENGINE_BUILD)/emulated/emulation.o $(ENGINE_BUILD)/emulated/library.o $(ENGINE_BUILD)/emulated/test-cuda.o

# A machine with an emulated GPU, for the rehearsal of make gpu-check: plugin, driver, NVML
REHEARSAL = build/rehearsal
engine-rehearsal: build/benchorch-engine $(REHEARSAL)/benchorch-engine-cuda.so $(REHEARSAL)/libcuda.so.1 \
	$(REHEARSAL)/libnvidia-ml.so.1
$(REHEARSAL)/benchorch-engine-cuda.so: $(filter-out %/test-cuda.o,$(EMULATION_OBJECTS)) | $(REHEARSAL)
	$(ENGINE_CXX) -shared -o $@ $^ -lm -ldl
$(REHEARSAL)/libcuda.so.1: | $(REHEARSAL)
	$(ENGINE_CC) -shared -o $@ -x c /dev/null
$(REHEARSAL)/libnvidia-ml.so.1: $(EMULATION_DIR)/nvml.c | $(REHEARSAL)
	$(ENGINE_CC) -std=gnu11 -O2 -Wall -Wextra -Werror -fPIC -shared -o $@ $<

build/test-engine-emulated: $(EMULATION_OBJECTS) $(ENGINE_BUILD)/test-transformer.o
	$(ENGINE_CXX) -o $@ $^ -lm -ldl

$(ENGINE_BUILD)/emulated/%.cu.o: $(ENGINE_DIR)/%.cu | $(ENGINE_BUILD)/emulated
	$(ENGINE_CXX) -std=c++17 $(EMULATION_FLAGS) -Wno-unknown-pragmas -x c++ -c -o $@ $<
$(ENGINE_BUILD)/emulated/%.o: $(EMULATION_DIR)/%.cpp | $(ENGINE_BUILD)/emulated
	$(ENGINE_CXX) -std=c++17 $(EMULATION_FLAGS) -c -o $@ $<
$(ENGINE_BUILD)/emulated/test-cuda.o: test/engine/cuda.c | $(ENGINE_BUILD)/emulated
	$(ENGINE_CC) -std=gnu11 $(EMULATION_FLAGS) -c -o $@ $<
$(ENGINE_BUILD)/emulated/%.o: $(ENGINE_DIR)/%.c | $(ENGINE_BUILD)/emulated
	$(ENGINE_CC) -std=gnu11 $(EMULATION_FLAGS) -c -o $@ $<

$(ENGINE_BUILD)/test-%.o: test/engine/%.c | $(ENGINE_BUILD)
	$(ENGINE_CC) $(ENGINE_FLAGS) $(ENGINE_CFLAGS) -c -o $@ $<

$(ENGINE_BUILD) $(ENGINE_BUILD)/plugin $(ENGINE_BUILD)/emulated $(REHEARSAL):
	mkdir -p $@

-include $(wildcard $(ENGINE_BUILD)/*.d $(ENGINE_BUILD)/plugin/*.d $(ENGINE_BUILD)/emulated/*.d)
