/*
 * Importing: results that no config of ours produced.
 */
