/*
 * What programs printed, as text.
 *
 * A benchmark may print anything: the bytes are kept as they are, and only
 * where somebody looks at them they become text of the database's encoding.
 */
#include "benchorch.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

PG_FUNCTION_INFO_V1(benchorch_readable);

Datum
benchorch_readable(PG_FUNCTION_ARGS)
{
	int			encoding = GetDatabaseEncoding();
	bytea	   *bytes;
	const unsigned char *in;
	const unsigned char *end;
	text	   *result;
	char	   *out;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	bytes = PG_GETARG_BYTEA_PP(0);
	in = (const unsigned char *) VARDATA_ANY(bytes);
	end = in + VARSIZE_ANY_EXHDR(bytes);
	result = palloc(VARHDRSZ + (end - in));
	out = VARDATA(result);
	while (in < end)
	{
		/* a NUL, too, is no text */
		int			length = *in == '\0' ? -1 : pg_encoding_verifymbchar(encoding, (const char *) in, end - in);

		if (length < 0)
		{
			*out++ = '?';
			in++;
			continue;
		}
		memcpy(out, in, length);
		out += length;
		in += length;
	}
	SET_VARSIZE(result, out - (char *) result);
	PG_RETURN_TEXT_P(result);
}
