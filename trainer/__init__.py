"""The bundled contrastive trainer: it reads a manifest and its shards, and nothing else."""
