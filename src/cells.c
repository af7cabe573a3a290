/*
 * Results into cells.
 *
 * A cell is all dimensions of a config but the repeat, and the tags in which
 * its tool's definitions differ.  What counts: accepted results without a
 * flag, and of a config only the one that settled it, so that no second run
 * weighs twice; archived configs count like the others.
 *
 * A cell keeps its repeats' metrics; medians and intervals are made when they
 * are asked for (benchorch_cell_summary), which costs less than keeping them.
 */
#include "benchorch.h"
#include "ranking.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#define METRIC_COLUMN(number, name, expression) ", " expression
/* clang-format off */
#define RESULTS_FROM(results, configs, one_by_one) \
	"SELECT c.id, c.hardware_config_id, c.framework_id, c.workload_type, c.batch_size, c.sequence_length," \
	" c.params - 'repeat', c.gpus, r.method, r.created_at" CELL_METRICS(METRIC_COLUMN) \
	" FROM benchorch." results " r CROSS JOIN LATERAL (SELECT * FROM benchorch." configs " x" \
	"  WHERE x.model_version_id = $1 AND x.id = r.config_id AND x.claim_id = r.claim_id" one_by_one ") c" \
	" WHERE r.model_version_id = $1 AND c.status = 'completed' AND r.accepted AND r.flags = '{}'"
#define RESULTS(one_by_one) \
	RESULTS_FROM("benchmark_results", "benchmark_configs", one_by_one) \
	" UNION ALL " RESULTS_FROM("archived_results", "archived_configs", one_by_one)
/* clang-format on */

/* Planned for the very model: most are hash joins of whole tables. */
static const char many_results[] = RESULTS("");

/* Planned once, result by result, for models with so few results that planning would cost more than reading. */
static Statement few_results = {.sql = RESULTS(" OFFSET 0"), .nargs = 1, .types = {UUIDOID}};

#define FEW_RESULTS "5000"

static Statement are_results_few = {
	.sql = "SELECT pg_catalog.count(*) <= " FEW_RESULTS " FROM ("
	" (SELECT FROM benchorch.benchmark_results WHERE model_version_id = $1)"
	" UNION ALL (SELECT FROM benchorch.archived_results WHERE model_version_id = $1)"
	" LIMIT " FEW_RESULTS " + 1) AS results",
	.nargs = 1,
	.types = {UUIDOID}
};

/* Columns of it, from 1. */
enum
{
	FOUND_ID = 1,
	FOUND_HARDWARE,
	FOUND_FRAMEWORK,
	FOUND_WORKLOAD,
	FOUND_BATCH_SIZE,
	FOUND_LENGTH,
	FOUND_PARAMS,
	FOUND_GPUS,
	FOUND_METHOD,
	FOUND_AT,
	FOUND_METRICS
};

/* --------------------------------------------------------------------- words */

typedef struct Word
{
	const char *bytes;			/* the hash key: bytes and length */
	Size		length;
	int			number;
} Word;

static uint32
hash_word(const void *key, Size size)
{
	const Word *word = key;

	return hash_bytes((const unsigned char *) word->bytes, (int) word->length);
}

static int
compare_words(const void *a, const void *b, Size size)
{
	const Word *x = a;
	const Word *y = b;

	return x->length != y->length || memcmp(x->bytes, y->bytes, x->length) != 0;
}

Words
benchorch_make_words(const char *name)
{
	HASHCTL		info = {
		.keysize = offsetof(Word, number),
		.entrysize = sizeof(Word),
		.hash = hash_word,
		.match = compare_words,
		.hcxt = CurrentMemoryContext
	};
	Words		words = {.allocated = 256};

	words.known = hash_create(name, 256, &info, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
	words.datums = palloc(sizeof(Datum) * words.allocated);
	return words;
}

int
benchorch_word(Words *words, Datum datum, bool isnull)
{
	struct varlena *value;
	struct varlena *copy;
	Word		key;
	Word	   *word;
	bool		found;

	if (isnull)
		return -1;
	value = PG_DETOAST_DATUM_PACKED(datum);
	key.bytes = VARDATA_ANY(value);
	key.length = VARSIZE_ANY_EXHDR(value);
	word = hash_search(words->known, &key, HASH_FIND, NULL);
	if (word)
		return word->number;

	copy = palloc(key.length + VARHDRSZ);
	SET_VARSIZE(copy, key.length + VARHDRSZ);
	memcpy(VARDATA(copy), key.bytes, key.length);
	key.bytes = VARDATA(copy);
	word = hash_search(words->known, &key, HASH_ENTER, &found);
	if (words->n == words->allocated)
	{
		words->allocated *= 2;
		words->datums = repalloc_huge(words->datums, sizeof(Datum) * words->allocated);
	}
	word->number = words->n;
	words->datums[words->n] = PointerGetDatum(copy);
	return words->n++;
}

/* ------------------------------------------------------------------- reading */

/* An entry of the table by which cells are found. */
typedef struct CellEntry
{
	CellKey		key;			/* hash key: must be first */
	int64		position;
} CellEntry;

static int32
column_int32(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static CellKey
read_key(Cells *cells, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Datum		value;
	CellKey		key;

	key.hardware_config_id = column_int32(tuple, desc, FOUND_HARDWARE);
	key.framework_id = column_int32(tuple, desc, FOUND_FRAMEWORK);
	key.batch_size = column_int32(tuple, desc, FOUND_BATCH_SIZE);
	key.sequence_length = column_int32(tuple, desc, FOUND_LENGTH);
	key.gpus = column_int32(tuple, desc, FOUND_GPUS);
	value = SPI_getbinval(tuple, desc, FOUND_WORKLOAD, &isnull);
	key.workload = benchorch_word(&cells->workloads, value, isnull);
	value = SPI_getbinval(tuple, desc, FOUND_PARAMS, &isnull);
	key.params = benchorch_word(&cells->params, value, isnull);
	value = SPI_getbinval(tuple, desc, FOUND_METHOD, &isnull);
	key.method = benchorch_word(&cells->methods, value, isnull);
	return key;
}

/* The cell of a key; a new one where there is none. */
static Cell *
find_cell(Cells *cells, HTAB *known, const CellKey *key)
{
	bool		found;
	CellEntry  *entry = hash_search(known, key, HASH_ENTER, &found);

	if (found)
		return &cells->cells[entry->position];
	if (cells->ncells == cells->cells_allocated)
	{
		cells->cells_allocated *= 2;
		cells->cells = repalloc_huge(cells->cells, sizeof(Cell) * cells->cells_allocated);
	}
	entry->position = cells->ncells;
	cells->cells[cells->ncells] = (Cell){
		.key = *key, .config_id = PG_INT64_MAX, .first_result = -1, .measured_at = DT_NOBEGIN, .score = NAN};
	return &cells->cells[cells->ncells++];
}

static void
add_result(Cells *cells, HTAB *known, HeapTuple tuple, TupleDesc desc)
{
	CellKey		key = read_key(cells, tuple, desc);
	Cell	   *cell = find_cell(cells, known, &key);
	CellResult *result;
	bool		isnull;
	int64		id = DatumGetInt64(SPI_getbinval(tuple, desc, FOUND_ID, &isnull));
	TimestampTz at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, FOUND_AT, &isnull));

	if (cells->nresults == cells->results_allocated)
	{
		cells->results_allocated *= 2;
		cells->results = repalloc_huge(cells->results, sizeof(CellResult) * cells->results_allocated);
	}
	result = &cells->results[cells->nresults];
	for (int i = 0; i < CELL_METRIC_COUNT; i++)
	{
		Datum		value = SPI_getbinval(tuple, desc, FOUND_METRICS + i, &isnull);

		result->values[i] = isnull ? NAN : DatumGetFloat8(value);
	}
	result->next = cell->first_result;
	cell->first_result = cells->nresults++;
	cell->config_id = Min(cell->config_id, id);
	cell->measured_at = Max(cell->measured_at, at);
	cell->n++;
	cells->most = Max(cells->most, cell->n);
}

Summary
benchorch_cell_summary(const Cells *cells, const Cell *cell, CellMetric metric)
{
	int			n = 0;

	for (int64 i = cell->first_result; i >= 0; i = cells->results[i].next)
		if (!isnan(cells->results[i].values[metric]))
			cells->buffer[n++] = cells->results[i].values[metric];
	return benchorch_summarize(cells->buffer, n);
}

/* How much the repeats differ: from three on by their own figures, else as the tool says. */
static double
cell_noise(const Cells *cells, const Cell *cell)
{
	double		noise = NAN;

	if (cell->n >= 3)
	{
		int			n = benchorch_cell_summary(cells, cell, CELL_output_tokens_per_s).n;

		if (n >= 3)				/* the values stand in the buffer */
			noise = benchorch_relative_noise(cells->buffer, n);
	}
	return isnan(noise) ? benchorch_cell_summary(cells, cell, CELL_noise_rel).median : noise;
}

Cells *
benchorch_read_cells(const pg_uuid_t *model_version_id)
{
	Cells	   *cells = palloc0(sizeof(Cells));
	HASHCTL		info = {.keysize = sizeof(CellKey), .entrysize = sizeof(CellEntry), .hcxt = CurrentMemoryContext};
	HTAB	   *known = hash_create("benchorch cells", 1024, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	Oid			types[1] = {UUIDOID};
	Datum		values[1] = {UUIDPGetDatum(model_version_id)};
	bool		isnull;
	Portal		portal;

	cells->workloads = benchorch_make_words("benchorch workloads");
	cells->params = benchorch_make_words("benchorch params");
	cells->methods = benchorch_make_words("benchorch methods");
	cells->cells_allocated = cells->results_allocated = 1024;
	cells->cells = palloc(sizeof(Cell) * cells->cells_allocated);
	cells->results = palloc(sizeof(CellResult) * cells->results_allocated);

	benchorch_run(&are_results_few, values, NULL);
	if (DatumGetBool(benchorch_column(0, 1, &isnull)))
		portal = benchorch_open(&few_results, values, NULL);
	else
		portal = SPI_cursor_open_with_args(NULL, many_results, 1, types, values, NULL, false, CURSOR_OPT_NO_SCROLL);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, 1000);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			add_result(cells, known, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	hash_destroy(known);

	cells->buffer = palloc(sizeof(double) * Max(cells->most, 1));
	for (int64 i = 0; i < cells->ncells; i++)
	{
		Cell	   *cell = &cells->cells[i];

		cell->noise_rel = cell_noise(cells, cell);
		cell->flagged = cell->noise_rel > BENCHORCH_NOISE_TOLERANCE;
	}
	return cells;
}
