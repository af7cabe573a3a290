/*
 * The least time that a run can take on a machine's peaks; formulas in
 * roofline.c.
 */
#ifndef BENCHORCH_ROOFLINE_H
#define BENCHORCH_ROOFLINE_H

#include "postgres.h"

#include "utils/jsonb.h"

/* What the formulas need to know of a model, in the precision of a run. */
typedef struct RooflineModel
{
	double		weight_bytes;	/* of one weight (w) */
	double		kv_bytes;		/* of KV cache per token (K) */
	double		matmul;			/* parameters in matrix products per token (Pmm) */
	double		head;			/* those of the head (V H) */
	double		attention;		/* layers x heads x head size (L h d) */
	double		experts;		/* of a layer; 0: none */
	double		top_k;			/* experts that a token uses */
	double		expert;			/* parameters of one expert in all layers */
	double		window;			/* tokens that sliding layers see */
	double		sliding;		/* share of the layers that slide */
} RooflineModel;

/* One run on machines of which "gpus" share the model. */
typedef struct RooflineRun
{
	double		batch_size;
	double		input_tokens;
	double		output_tokens;
	double		gpus;
	double		bandwidth;		/* of one GPU, bytes/s; 0: unknown, not a bound */
	double		flops;			/* peak of one GPU, FLOP/s; 0: unknown, not a bound */
	bool		expert_reads;	/* count the experts that a batch reads, not only the active ones */
} RooflineRun;

typedef struct Roofline
{
	double		ttft_s;
	double		tpot_s;			/* NaN for one output token */
	double		prefill_flops;
} Roofline;

/* Bytes of one number in a precision; 0 for a word that is none. */
extern double benchorch_precision_bytes(const char *word, int len);
/* False where the architecture is not in canonical keys or params name an unknown precision. */
extern bool benchorch_roofline_model(Jsonb *architecture, Jsonb *params, RooflineModel *model);
extern Roofline benchorch_roofline(const RooflineModel *model, const RooflineRun *run);

#endif							/* BENCHORCH_ROOFLINE_H */
