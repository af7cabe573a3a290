/*
 * Checks of arguments that several functions share.
 */

CREATE FUNCTION benchorch.require_arguments(VARIADIC arguments text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	FOR i IN 1 .. pg_catalog.cardinality(arguments) BY 2 LOOP
		IF arguments[i + 1] IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s must not be NULL', arguments[i]);
		ELSIF arguments[i + 1] = '' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s must not be empty', arguments[i]);
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.require_arguments(text[]) IS
'Raises 22023 for the first argument that is NULL or empty; arguments: name, value, name, value, ...';

CREATE FUNCTION benchorch.spec_type_matches(value jsonb, type text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := pg_catalog.jsonb_typeof(value);
BEGIN
	CASE
		WHEN type = 'any' THEN
			RETURN true;
		WHEN type = 'a string' THEN
			RETURN kind = 'string' AND value #>> '{}' <> '';
		WHEN type = 'a positive integer' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN 1 AND 2147483647;
		WHEN type = 'a positive number of bytes' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN 1 AND 9223372036854775807;
		WHEN type = 'a positive number' THEN
			RETURN kind = 'number' AND value::numeric BETWEEN 1e-300 AND 1e300;
		WHEN type = 'a number that is not negative' THEN
			RETURN kind = 'number' AND (value::numeric = 0 OR value::numeric BETWEEN 1e-300 AND 1e300);
		WHEN type = 'a number between 0 and 1' THEN
			RETURN kind = 'number' AND value::numeric BETWEEN 1e-9 AND 1 - 1e-9;
		WHEN type = 'an integer' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN -2147483648 AND 2147483647;
		WHEN type = 'true or false' THEN
			RETURN kind = 'boolean';
		WHEN type = 'an array of strings' THEN
			RETURN kind = 'array' AND NOT value @? 'strict $[*] ? (@.type() != "string")';
		WHEN type = 'an array of strings (at least one)' THEN
			RETURN kind = 'array' AND value <> '[]' AND NOT value @? 'strict $[*] ? (@.type() != "string")';
		WHEN type = 'an object' THEN
			RETURN kind = 'object';
		WHEN type = 'an object of strings' THEN
			RETURN kind = 'object' AND NOT value @? 'strict $.* ? (@.type() != "string")';
		WHEN type = 'an interval, such as "10 minutes"' THEN
			BEGIN
				RETURN kind = 'string' AND (value #>> '{}')::interval > '0 s'::interval;
			EXCEPTION WHEN data_exception THEN
				RETURN false;
			END;
		WHEN type LIKE 'one of %' THEN
			RETURN kind = 'string'
				AND value #>> '{}' = ANY (pg_catalog.string_to_array(pg_catalog.substr(type, 8), ', '));
	END CASE;
END $$;
COMMENT ON FUNCTION benchorch.spec_type_matches(jsonb, text) IS
'Whether a member of a spec is of a type, which is named in the words that an error message uses';

CREATE FUNCTION benchorch.check_spec(what text, spec jsonb, known text[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key text;
	value jsonb;
	type text;
BEGIN
	IF pg_catalog.jsonb_typeof(spec) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('%s must be a JSON object', what),
			DETAIL = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(spec));
	END IF;
	FOR key, value, type IN
		SELECT e.key, e.value, k.type
		FROM pg_catalog.jsonb_each(spec) AS e
		LEFT JOIN (SELECT pg_catalog.split_part(known_key, ': ', 1) AS key, pg_catalog.split_part(known_key, ': ', 2) AS type
				   FROM pg_catalog.unnest(known) AS known_key) AS k USING (key)
		ORDER BY e.key
	LOOP
		IF type IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s has no key "%s"', what, key),
				HINT = pg_catalog.format('Known keys: %s.',
					(SELECT pg_catalog.string_agg(pg_catalog.split_part(known_key, ': ', 1), ', ')
					 FROM pg_catalog.unnest(known) AS known_key));
		END IF;
		CONTINUE WHEN value = 'null' AND type LIKE '% or null';
		IF benchorch.spec_type_matches(value, pg_catalog.regexp_replace(type, ' or null$', '')) IS NOT TRUE THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s key "%s" must be %s', what, key, type),
				DETAIL = pg_catalog.format('It is %s.', pg_catalog."left"(value::text, 100));
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.check_spec(text, jsonb, text[]) IS
'Raises 22023 unless spec is an object whose keys are all known and of their types; known: "key: type" each, in the order that the hint lists them; what: how messages call the spec';

CREATE FUNCTION benchorch.small_int(value jsonb) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN pg_catalog.jsonb_typeof(value) = 'number' THEN
		CASE WHEN value::pg_catalog.numeric BETWEEN 1 AND 2147483647 AND pg_catalog.trunc(value::pg_catalog.numeric) = value::pg_catalog.numeric
			THEN value::int END END
$$;
COMMENT ON FUNCTION benchorch.small_int(jsonb) IS 'A positive integer; NULL for anything else';
