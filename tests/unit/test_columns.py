"""The document of the tables is that of the schemas, and says something of every column."""

from pathlib import Path

from curation.report.columns import ABOUT, PLACES, document
from curation.schemas import TABLES

ROOT = Path(__file__).parents[2]


def test_the_document_in_the_repository_is_current() -> None:
    written = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    assert written == document(), "say: make docs"


def test_every_table_and_every_column_is_in_it() -> None:
    text = document()
    for table, schema in TABLES.items():
        section = text.split(f"\n## {table}\n")[1].split("\n## ")[0]
        for field in schema:
            row = next(line for line in section.splitlines() if line.startswith(f"| `{field.name}` |"))
            assert len(row.split("|")[4].strip()) > 5, f"{table}.{field.name} is not explained"
            assert ("| yes |" in row) == field.nullable
    assert text.index("## manifest") < text.index("## selection") < text.index("## pairs")


def test_every_table_has_a_place_and_a_sentence() -> None:
    assert set(PLACES) == set(ABOUT) == set(TABLES)
