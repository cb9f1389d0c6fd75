"""One small run up to its manifest, for the tests that ask of it what a user would."""

from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from curation import pipeline
from curation.config import BalanceSection, ManifestSection, RunConfig
from curation.demo.run import DemoOptions, configure
from curation.demo.server import serve
from curation.demo.web import build


@pytest.fixture(scope="session")
def sealed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run of the small web, of 70 pictures, without a removal list."""
    path = tmp_path_factory.mktemp("sealed")
    web = build(path / "web", seed=2, pictures=70)
    with serve(web.folder) as address:
        base = configure(DemoOptions(path=path / "run"), web, address)
        run = replace(base.run, heldout_share=0.1)
        config = replace(
            base,
            run=run,
            balance=BalanceSection(t={"en": 6.0}),
            manifest=ManifestSection(images_per_shard=30),
        )
        for _ in pipeline.run_all(config, until="manifest"):
            pass
    return config
