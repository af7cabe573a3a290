/*
 * roofline.c: the least time and memory a config can take on given ceilings,
 * for a static batch on one device.
 *
 * The letters are the ones the metrics are documented with: P parameters, Pmm
 * those in matrix products per token, w bytes per weight, K bytes of KV cache
 * per token, L layers, h heads, d head size, V vocabulary, H hidden size, B
 * batch, S input and O output tokens.
 *
 *   memory         P·w + B·(S+O)·K
 *   prefill FLOPs  2·B·S·(Pmm − V·H) + 2·B·V·H + 2·L·h·d·B·S·(S+1)
 *   TTFT           max(FLOPs / F, (Pmm·w + B·S·K) / BW)
 *   decode step    at context c = S+1 … S+O−1: bytes = Pmm·w + B·c·K,
 *                  FLOPs = 2·Pmm·B + 4·L·h·d·B·c
 *   TPOT           the mean over the steps of max(bytes / BW, FLOPs / F)
 */
#include "roofline.h"

#include <math.h>

#include "model.h"

double
roofline_decode_bytes(const struct architecture *a, const struct workload *workload,
					  double context)
{
	return model_matmul_parameters(a) * (double) precision_bytes(workload->precision) +
		workload->batch_size * context * model_kv_bytes_per_token(a, workload->precision);
}

struct roofline
roofline_bound(const struct architecture *a, const struct workload *workload,
			   struct ceilings ceilings)
{
	double		P = model_parameters(a);
	double		Pmm = model_matmul_parameters(a);
	double		w = (double) precision_bytes(workload->precision);
	double		K = model_kv_bytes_per_token(a, workload->precision);
	double		head = (double) a->vocab_size * (double) a->hidden_size;
	double		Lhd = (double) (a->n_layers * a->n_heads * a->head_dim);
	double		B = workload->batch_size;
	double		S = workload->input_tokens;
	double		O = workload->output_tokens;
	double		BW = ceilings.read_bytes_per_s;
	double		F = ceilings.flops_per_s;
	double		flops = 2 * B * S * (Pmm - head) + 2 * B * head + 2 * Lhd * B * S * (S + 1);
	double		steps = 0;

	for (double c = S + 1; c <= S + O - 1; c++)
		steps += fmax(roofline_decode_bytes(a, workload, c) / BW,
					  (2 * Pmm * B + 4 * Lhd * B * c) / F);
	return (struct roofline){
		.ttft_s = fmax(flops / F, (Pmm * w + B * S * K) / BW),
		.tpot_s = O > 1 ? steps / (O - 1) : NAN,
		.memory_bytes = P * w + B * (S + O) * K,
	};
}
