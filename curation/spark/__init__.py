"""The only package that imports pyspark: a session, an adaptor for Arrow batches, and a module a stage."""
