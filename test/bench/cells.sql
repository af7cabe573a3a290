-- The work, for the systems that have no populate_matrix: the cells of the default template for one hardware and three
-- frameworks, for so many models and repeats, in the order in which populate_matrix makes them.
CREATE OR REPLACE VIEW cells AS
SELECT md5('model ' || model)::uuid AS model_version_id, 1 AS hardware_config_id, framework AS framework_id,
	workload_type, batch_size, sequence_length,
	base + (batch_size - 1) * 10 + length_term AS priority
FROM generate_series(1, :models) AS model, generate_series(1, 3) AS framework,
	generate_series(1, :repeats * :variants) AS repeat,
	(VALUES ('chatbot', 100), ('qa', 200), ('code-generation', 300), ('creative-writing', 400), ('summarization', 500))
		AS workload (workload_type, base),
	unnest('{1,2,4,8}'::int[]) AS batch_size,
	(VALUES (1024, 0), (2048, 20), (4096, 40)) AS length (sequence_length, length_term);
