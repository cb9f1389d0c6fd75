"""The set in Croissant 1.0 with the fields of its RAI extension: JSON-LD that `mlcroissant` validates and reads.

Written as plain JSON, so that no library is needed to publish; a test has mlcroissant check it and read the records. It speaks
of files beside it: publish it in the manifest's folder, or say in `card.files` where that folder will lie.
"""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curation.report.card import bibtex, limits, name_of
from curation.report.card_words import STEPS
from curation.report.publication import Publication
from curation.schemas import TABLES, doc_of

CROISSANT = "croissant.json"
MANIFEST_FILES = "manifest-files"
CONTEXT = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "parentField": "cr:parentField", "path": "cr:path", "rai": "http://mlcommons.org/croissant/RAI/", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/",
    "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
"""The context that the specification of Croissant 1.0 gives."""


def croissant(found: Publication) -> str:
    """Return the set's description as JSON text."""
    return json.dumps(document(found), indent=1, ensure_ascii=False) + "\n"


def document(found: Publication) -> dict[str, Any]:
    """Return the set's description: what it is, its files with their hashes, the manifest's columns, and the RAI fields."""
    section = found.config.card
    people = [{"@type": "Organization", "name": name} for name in section.creators]
    stated = {
        "url": section.url, "license": section.licence, "creator": people, "datePublished": section.published,
    }  # fmt: skip
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": found.title,
        "description": _description(found),
        "inLanguage": list(found.languages),
        "version": section.version,
        "citeAs": bibtex(found),
        **{key: value for key, value in stated.items() if value},
        **_responsible(found),
        "distribution": list(_files(found)),
        "recordSet": [_records(found)],
    }


def _description(found: Publication) -> str:
    languages = " and ".join(name_of(code, "en") for code in found.languages)
    steps = "; ".join(f"{STEPS['en'][step.key]}: {step.rows:,}" for step in found.steps)
    thresholds = ", ".join(f"{row['lang']} {row['after']}" for row in found.thresholds)
    return (
        f"Pictures of the web and their alt-texts, in {languages}, balanced by entries after MetaCLIP. {steps}. "
        f"Thresholds t: {thresholds}. Seed {found.seed}. Made with bicurate {found.versions.get('bicurate', '')}."
    )


def _files(found: Publication) -> Iterator[dict[str, Any]]:
    """Yield every published file with its hash from the manifest's record; tables that are several are a set besides."""
    base = found.config.card.files
    for name, sha256 in sorted(found.manifest.data["files"].items()):
        is_table = name.endswith(".parquet")
        path = found.manifest.path / name
        yield {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": base + name,
            **({"contentSize": f"{path.stat().st_size} B"} if path.is_file() else {}),
            "encodingFormat": "application/x-parquet" if is_table else "application/x-tar",
            "sha256": sha256,
        }
    if len(_tables(found)) > 1:
        yield {
        "@type": "cr:FileSet", "@id": MANIFEST_FILES, "name": MANIFEST_FILES, "description": "the manifest: a row a caption", "encodingFormat": "application/x-parquet", "includes": "manifest.parquet/*.parquet",
    }  # fmt: skip


def _tables(found: Publication) -> list[str]:
    return [name for name in found.manifest.data["files"] if name.endswith(".parquet")]


def _records(found: Publication) -> dict[str, Any]:
    tables = _tables(found)
    place = {"fileObject": {"@id": tables[0]}} if len(tables) == 1 else {"fileSet": {"@id": MANIFEST_FILES}}
    fields = [_field(column, place) for column in TABLES["manifest"]]
    return {
        "@type": "cr:RecordSet", "@id": "captions", "name": "captions", "key": {"@id": "captions/pair_id"},
        "description": "a caption of a picture, with what decided whether it is selected", "field": fields,
    }  # fmt: skip


def _field(column: pa.Field, place: dict[str, Any]) -> dict[str, Any]:
    repeated = pa.types.is_list(column.type)
    return {
        "@type": "cr:Field",
        "@id": f"captions/{column.name}",
        "name": column.name,
        "description": doc_of("manifest", column.name),
        "dataType": _data_type(column.type.value_type if repeated else column.type),
        **({"repeated": True} if repeated else {}),
        "source": place | {"extract": {"column": column.name}},
    }


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


def _responsible(found: Publication) -> dict[str, Any]:
    """Return the fields of Croissant RAI 1.0, from the run's records."""
    dropped = [
        f"{row['stage']}, {row['unit']}: "
        + ", ".join(f"{reason} {rows:,}" for reason, rows in sorted(row["dropped"].items()))
        for row in found.sums
        if row["dropped"]
    ]
    said = limits(found, "en")
    removed, contact = found.removed, found.config.card.contact
    fields = {
        "dataCollection": f"Image links with alt-texts{' of ' + found.crawl if found.crawl else ''} were read, matched, balanced, and the pictures "
        "fetched by a guarded downloader.",
        "dataCollectionType": ["Web Scraping", "Secondary Data Analysis"],
        "dataCollectionRawData": f"alt-texts and addresses of pictures{' from ' + found.crawl if found.crawl else ''}",
        "dataCollectionMissingData": "What left, by stage and reason: " + "; ".join(dropped),
        "dataCollectionTimeframe": list(found.fetched or ()),
        "dataCollectionTimeFrame": list(found.fetched or ()),  # as mlcroissant spells it
        "dataPreprocessingProtocol": list(_protocol(found)),
        "dataAnnotationProtocol": ["No person annotated anything; captions are alt-texts, languages and entries are found by programs."],
        "annotationsPerItem": "0",
        "machineAnnotationTools": [f"{name} {found.versions[name]}" for name in _TOOLS if name in found.versions],
        "dataBiases": [said[2], said[3]],
        "dataUseCases": ["Training and evaluation of image-text models; research on the selection of their data."],
        "dataLimitations": said,
        "dataSocialImpact": "Models trained on it learn what the web says about people and things; neither was checked or corrected.",
        "personalSensitiveInformation": [
            "People can be seen and named; faces, names, addresses and numbers were neither sought nor blurred.",
            f"Opt-outs {'honoured' if found.respect_opt_out else 'not honoured'}: {found.opted_out:,} addresses not kept for one.",
        ],
        "dataReleaseMaintenancePlan": f"Requests for removal: {contact or 'no contact stated'}. Not fetched for them: {removed['addresses']:,} addresses; "
        f"not sealed: {removed['captions']:,} captions, {removed['pictures']:,} pictures. A removal is applied at the next seal.",
    }  # fmt: skip
    return {f"rai:{name}": value for name, value in fields.items() if value}


_TOOLS = ("bicurate", "faiss-cpu", "faiss-gpu", "img2dataset", "pyspark")


def _protocol(found: Publication) -> Iterator[str]:
    """Yield what was done to the data, with the values that decided."""
    yield "matched against entry lists: " + ", ".join(
        f"{row['lang']} {row['entries']:,} entries, mode {found.modes[row['lang']]}, sha256 {row['sha256']}"
        for row in found.lists
    )
    yield "balanced by entry: " + ", ".join(
        f"t({row['lang']}) = {row['t']} before the download ({row['with_margin']} with its margin), {row['after']} on what survived"
        for row in found.thresholds
    )
    if found.options:
        yield "further rules of the selection: " + json.dumps(
            found.options, ensure_ascii=False, sort_keys=True
        )
    if found.cosine is not None:
        yield f"near-duplicates merged from a cosine of {found.cosine} on; the kept picture inherits the captions"
    yield f"held out for evaluation: {100 * found.heldout_share:g} % of the addresses, by coin, with their near-duplicates"
    yield f"all chance is a hash of ids with seed {found.seed}"
