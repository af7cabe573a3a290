/*
 * Why a run failed, by what it printed.
 *
 * A worker knows how a run ended: its exit code or signal, a deadline, a
 * command that is not there.  What a framework's last words mean is data: a row
 * for each message whose meaning is beyond doubt.  A wrong row costs more than a missing
 * one: gpu_oom skips other configs, gpu_fault and node_fault take a machine out of service.
 *
 * Rows are filled by seed_outcome_rules(); users may change them and add their own.
 */

CREATE TABLE benchorch.outcome_rules
(
	name			text PRIMARY KEY,
	outcome			text NOT NULL CHECK (outcome IN ('gpu_oom', 'host_oom', 'unsupported', 'bad_config',
		'timeout', 'crash', 'bad_output', 'gpu_fault', 'node_fault', 'preempted')),
	pattern			text CHECK (pattern IS NULL OR ('' OPERATOR(pg_catalog.~) ('(?n)(^.*(?:' || pattern || ').*$)')) IS NOT NULL),
	command			text,
	exit_code		int,
	example			text,
	position		int NOT NULL DEFAULT 100,
	enabled			boolean NOT NULL DEFAULT true,
	CHECK (pattern IS NOT NULL OR exit_code IS NOT NULL)
);
CREATE INDEX outcome_rules_position ON benchorch.outcome_rules (position, name);
COMMENT ON TABLE benchorch.outcome_rules IS 'What the last words of a failed run mean: the first row that matches decides its outcome, where the worker has handed in crash or timeout, or bad_output without any output (data)';
COMMENT ON COLUMN benchorch.outcome_rules.pattern IS 'regular expression (POSIX, case-sensitive) that a line of the log or output matches; NULL: any';
COMMENT ON COLUMN benchorch.outcome_rules.command IS 'only for runs of this program, by the last part of its path; NULL: any';
COMMENT ON COLUMN benchorch.outcome_rules.exit_code IS 'only for this exit code; NULL: any';
COMMENT ON COLUMN benchorch.outcome_rules.example IS 'a line that matches';
COMMENT ON COLUMN benchorch.outcome_rules.position IS 'lower goes first; the names decide among equals';

SELECT pg_catalog.pg_extension_config_dump('benchorch.outcome_rules', '');

/*
 * The GPU's and the machine's faults first, for they explain what comes after
 * them; then memory that others hold, then memory, then the rest.
 */
CREATE FUNCTION benchorch.seed_outcome_rules() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO benchorch.outcome_rules (position, outcome, name, pattern, example) VALUES
	(10, 'gpu_fault', 'ECC error', 'uncorrectable ECC error|cudaErrorECCUncorrectable|CUDA_ERROR_ECC_UNCORRECTABLE',
		'RuntimeError: CUDA error: uncorrectable ECC error encountered'),
	(10, 'gpu_fault', 'NVLink error', 'uncorrectable NVLink error|cudaErrorNvlinkUncorrectable|CUDA_ERROR_NVLINK_UNCORRECTABLE',
		'CUDA error: uncorrectable NVLink error detected during the execution'),
	(10, 'gpu_fault', 'GPU lost', 'GPU is lost|GPU has fallen off the bus|Unable to determine the device handle for GPU',
		'Unable to determine the device handle for GPU0000:4E:00.0: Unknown Error'),
	(10, 'gpu_fault', 'Xid', 'Xid (\([^)]*\): )?(48|62|63|64|74|79|92|94|95|119|120|140)\M',
		'GPU-6e4b: Xid 79'),

	(20, 'node_fault', 'driver too old', 'CUDA driver version is insufficient for CUDA runtime version|The NVIDIA driver on your system is too old|cudaErrorInsufficientDriver',
		'RuntimeError: The NVIDIA driver on your system is too old (found version 11040).'),
	(20, 'node_fault', 'driver mismatch', 'Driver/library version mismatch|forward compatibility was attempted on non supported HW|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE',
		'Failed to initialize NVML: Driver/library version mismatch'),
	(20, 'node_fault', 'no GPU', 'no CUDA-capable device is detected|No CUDA GPUs are available|CUDA_ERROR_NO_DEVICE|Found no NVIDIA driver on your system',
		'RuntimeError: No CUDA GPUs are available'),
	(20, 'node_fault', 'GPU not ready', 'system not yet initialized|CUDA_ERROR_SYSTEM_NOT_READY|CUDA unknown error - this may be due to an incorrectly set up environment|all CUDA-capable devices are busy or unavailable',
		'CUDA error: system not yet initialized'),
	(20, 'node_fault', 'library missing', 'error while loading shared libraries:|cannot open shared object file: No such file or directory',
		'vllm: error while loading shared libraries: libcudart.so.12: cannot open shared object file: No such file or directory'),
	(20, 'node_fault', 'disk full', 'No space left on device|Disk quota exceeded',
		'OSError: [Errno 28] No space left on device'),
	(20, 'node_fault', 'disk broken', 'Read-only file system|Input/output error|Stale file handle|Structure needs cleaning',
		'OSError: [Errno 5] Input/output error: ''/models/llama/model-00001-of-00004.safetensors'''),
	(20, 'node_fault', 'too many files', 'Too many open files',
		'OSError: [Errno 24] Too many open files'),
	(20, 'node_fault', 'port in use', '[Aa]ddress already in use',
		'OSError: [Errno 98] error while attempting to bind on address (''127.0.0.1'', 8000): address already in use'),
	(20, 'node_fault', 'network down', 'Temporary failure in name resolution|Name or service not known|Network is unreachable|We couldn''t connect to ''https://huggingface\.co''',
		'OSError: We couldn''t connect to ''https://huggingface.co'' to load the files, and couldn''t find them in the cached files.'),
	(20, 'node_fault', 'weights damaged', 'SafetensorError: Error while deserializing header|Consistency check failed: file should be of size|tensor .* data is not within the file bounds|PytorchStreamReader failed',
		'safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer'),

	(30, 'node_fault', 'GPU memory in use', 'on startup is less than desired GPU memory utilization|The memory capacity is unbalanced\. Some GPUs may be occupied by other processes',
		'ValueError: Free memory on device (10.55/79.11 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB).'),

	(40, 'gpu_oom', 'PyTorch out of memory', 'CUDA out of memory|HIP out of memory|torch(\.cuda)?\.OutOfMemoryError',
		'torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.96 GiB. GPU 0 has a total capacity of 79.11 GiB'),
	(40, 'gpu_oom', 'CUDA out of memory', 'CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation|hipErrorOutOfMemory|CUDA runtime error.*out of memory|Cuda failure.*out of memory',
		'[TensorRT-LLM][ERROR] CUDA runtime error in ::cudaMallocAsync(ptr, n, mMemPool->getPool(), mCudaStream->get()): out of memory'),
	(40, 'gpu_oom', 'TensorRT out of memory', 'Error Code 2: OutOfMemory|OutOfMemory \(Requested size was [0-9]+ bytes',
		'[TRT] [E] Error Code 2: OutOfMemory (Requested size was 34359738368 bytes.)'),
	(40, 'gpu_oom', 'llama.cpp out of memory', 'cudaMalloc failed: out of memory|ggml_backend_cuda_buffer_type_alloc_buffer: allocating .* failed|failed to allocate CUDA[0-9]+ buffer',
		'ggml_backend_cuda_buffer_type_alloc_buffer: allocating 30512.11 MiB on device 0: cudaMalloc failed: out of memory'),
	(40, 'gpu_oom', 'vLLM KV cache too small', 'No available memory for the cache blocks|larger than the maximum number of tokens that can be stored in KV cache|larger than the available KV cache memory',
		'ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.'),
	(40, 'gpu_oom', 'SGLang out of memory', 'Not enough memory\. Please try to increase --mem-fraction-static',
		'RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: self.server_args.mem_fraction_static=0.88'),
	(40, 'gpu_oom', 'XLA out of memory', 'RESOURCE_EXHAUSTED: Out of memory',
		'jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.'),

	(50, 'host_oom', 'host memory', 'Cannot allocate memory|std::bad_alloc|DefaultCPUAllocator: (can''t allocate|not enough) memory|^MemoryError',
		'terminate called after throwing an instance of ''std::bad_alloc'''),

	(60, 'unsupported', 'no kernels for the GPU', 'no kernel image is available for execution on the device|is only supported on GPUs with compute capability|only supports? Ampere GPUs or newer',
		'RuntimeError: CUDA error: no kernel image is available for execution on the device'),
	(60, 'unsupported', 'model not supported', 'Model architectures \[.*\] (are not supported|failed to be inspected)|Transformers does not recognize this architecture|unknown model architecture',
		'ValueError: Model architectures [''MambaXForCausalLM''] are not supported for now.'),
	(60, 'unsupported', 'quantization not supported', 'Unknown quantization method|quantization method .* is not supported',
		'ValueError: Unknown quantization method: int3. Must be one of [''awq'', ''fp8'', ''gptq''].'),

	(70, 'bad_config', 'model not found', 'is not a local folder and is not a valid model identifier|Repository Not Found for url|Cannot access gated repo',
		'OSError: meta-llama/nope is not a local folder and is not a valid model identifier listed on ''https://huggingface.co/models'''),
	(70, 'bad_config', 'wrong arguments', 'error: unrecognized arguments:|error: the following arguments are required:|error: argument .*: (invalid|expected)|No such option:',
		'vllm: error: unrecognized arguments: --max-modle-len 4096'),
	(70, 'bad_config', 'parallelism does not fit', 'must be divisible by tensor parallel size|is not divisible by (tp_size|tensor parallel)',
		'ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).'),
	(70, 'bad_config', 'context too long', 'is greater than the derived max_model_len',
		'ValueError: User-specified max_model_len (131072) is greater than the derived max_model_len (max_position_embeddings=8192)')
	ON CONFLICT (name) DO NOTHING;

	INSERT INTO benchorch.outcome_rules (position, outcome, name, command, exit_code) VALUES
	(5, 'bad_config', 'benchorch-engine 64', 'benchorch-engine', 64),
	(5, 'bad_config', 'benchorch-engine 65', 'benchorch-engine', 65),
	(5, 'host_oom', 'benchorch-engine 69', 'benchorch-engine', 69)
	ON CONFLICT (name) DO NOTHING;
$$;
COMMENT ON FUNCTION benchorch.seed_outcome_rules() IS
	'Adds the known messages'' rows that are missing; rows that exist are never changed, but one that was deleted comes back: disable what is not wanted. Part of seed_reference_data()';
