"""The configuration of a run: frozen dataclasses, one a stage. `curation.runfile` reads them from TOML.

A field marked `runtime` (threads, memory, ports) changes how fast a stage works, never what comes out: it stays out of the hash.
Relative paths are taken from the working directory.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from curation.canonical import later, runtime
from curation.config_balance import BalanceSection
from curation.config_card import CardSection
from curation.config_dedup import DedupSection, EmbedSection, NeighboursSection
from curation.config_metadata import MetadataSection
from curation.errors import require

OnExisting = Literal["fail", "overwrite"]
MATCH_MODES = ("metaclip1", "metaclip2", "word", "korean")  # of `curation.modes`
DEFAULT_MODES = {"en": "metaclip1", "ko": "korean"}


@dataclass(frozen=True, kw_only=True)
class RunSection:
    """What all stages share."""

    path: Path = runtime(Path("runs/run"))
    """Directory of the run; every executor must see it under this path."""
    parent: Path | None = runtime(None)
    """Another run whose stages are used where their records match this configuration."""
    # `earlier` and `removals` count by what they hold, not by where they lie: as externals of the stages that read them.
    earlier: tuple[Path, ...] = runtime(())
    """Runs of earlier crawls that this one extends: their pairs are left out, and their counts are added to its own.

    They must have the same entry lists, seed, languages, held-out share and way of matching. All of a chain are named.
    """
    seed: int = 0
    """Seed of every coin of the run."""
    languages: tuple[str, ...] = ("en", "ko")
    """Languages of the run, ISO 639-1; texts in others are dropped with a reason."""
    heldout_share: float = 0.02
    """Share of the picture addresses that are held out for evaluation, chosen by coin before curation."""
    removals: tuple[str, ...] = runtime(())
    """Files or globs of what must not be fetched, sealed, selected or trained on: addresses, domains, SHA-256 of pictures.

    Text, an item a line, or CSV or Parquet with a column url, domain or image_id. `curation.removals` says how they are compared.
    """
    on_existing: OnExisting = runtime("fail")
    """What to do with a stage that another configuration or input made."""

    def __post_init__(self) -> None:
        require(len(self.languages) > 0, "run.languages", self.languages, "name one language or more")
        require(
            len(set(self.languages)) == len(self.languages),
            "run.languages",
            self.languages,
            "a language stands twice",
        )
        require(0 <= self.heldout_share < 1, "run.heldout_share", self.heldout_share, "a share in [0, 1)")
        twice = len({path.resolve() for path in self.earlier}) < len(self.earlier)
        require(not twice, "run.earlier", [str(path) for path in self.earlier], "a run stands twice")
        itself = self.path.resolve() in {path.resolve() for path in self.earlier}
        require(not itself, "run.earlier", str(self.path), "a run cannot extend itself")


@dataclass(frozen=True, kw_only=True)
class SparkSection:
    """How Spark runs; nothing here changes what comes out. Under `spark-submit` its own settings win."""

    master: str = runtime("local[*]")
    """Master, where no `spark-submit` set one. `local[4]` uses four cores of this machine."""
    driver_memory: str = runtime("3g")
    """Memory of the driver's JVM; in local mode the executors' too."""
    partitions: int | None = runtime(None)
    """Partitions of a shuffle; twice the cores where it is not set."""
    adaptive: bool = runtime(default=True)
    """Adaptive query execution."""
    settings: dict[str, str] = runtime(factory=dict)
    """Further settings by Spark's own names."""
    log: Path | None = runtime(None)
    """Where a local Spark's own messages go; RUN/spark.log from the command line."""


@dataclass(frozen=True, kw_only=True)
class ExtractSection:
    """WAT files or Parquet pools into pairs."""

    inputs: tuple[str, ...] = ()
    """Files or globs, local or by any address that fsspec opens: `*.warc.wat.gz`, or Parquet."""
    root: str | None = None
    """What is cut off the inputs' names to give `origin`; their longest common folder where it is not set."""
    crawl: str | None = None
    """Name of the crawl, written to every row."""
    format: Literal["auto", "wat", "pool"] = "auto"
    """`auto` takes `.parquet` for a pool and everything else for WAT."""
    url_column: str | None = None
    """Column of a pool's addresses; LAION's, COYO's and DataComp's names are known."""
    text_columns: tuple[str, ...] = ()
    """Columns of a pool's texts; LAION's, COYO's and DataComp's names are known."""
    keep_dropped: bool = False
    """Write what was dropped to a second table."""


@dataclass(frozen=True, kw_only=True)
class MatchSection:
    """Alt-texts to the entries they name."""

    mode: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_MODES))
    """Matching mode a language: metaclip1, metaclip2, word or korean. Not named: metaclip1 for en, korean for ko, else metaclip2."""
    fold_case: dict[str, bool] = later(factory=dict)
    """Whether case is folded, a language; its mode must be `word`. Not where a language is not named."""
    engine: Literal["auto", "spans", "daachorse", "pyahocorasick"] = runtime("auto")
    """What finds the entries; all find the same. `auto`: the span table, and beside it the fastest automaton there is."""
    min_chars: int = 1
    """Shortest text after cleaning, characters."""
    max_chars: int = 2_000
    """Longest text after cleaning, characters."""
    lid_model: Path | None = None
    """fastText language model; the bundled lid.176.ftz where it is not set."""
    lid_min_score: float = 0.5
    """fastText's answer counts from this probability on; below it langdetect is asked."""
    langdetect_share: float = 0.05
    """At most this share of texts goes to langdetect, which is a thousand times slower: chosen by coin."""
    keep_dropped: bool = False
    """Write what was dropped to a second table."""

    def __post_init__(self) -> None:
        for lang, mode in self.mode.items():
            require(mode in MATCH_MODES, f"match.mode.{lang}", mode, f"one of {', '.join(MATCH_MODES)}")
        for lang, folds in self.fold_case.items():
            held = not folds or self.mode_of(lang) == "word"
            require(held, f"match.fold_case.{lang}", folds, f"match.mode.{lang} must be word to fold case")
        require(
            0 < self.min_chars <= self.max_chars, "match.min_chars", self.min_chars, "1 to match.max_chars"
        )
        require(
            0 <= self.langdetect_share <= 1,
            "match.langdetect_share",
            self.langdetect_share,
            "a share in [0, 1]",
        )

    def mode_of(self, lang: str) -> str:
        """Return the matching mode of a language."""
        return self.mode.get(lang) or DEFAULT_MODES.get(lang, "metaclip2")


@dataclass(frozen=True, kw_only=True)
class DownloadSection:
    """Addresses to bytes, guarded."""

    urls_per_shard: int = 1_000
    """Addresses a raw shard: the unit of work and of resuming."""
    max_bytes: int = 32 << 20
    """Largest body, bytes."""
    max_pixels: int = 50_000_000
    """Largest picture, pixels, by its header."""
    min_side: int = 8
    """Shortest side, pixels."""
    max_redirects: int = 5
    """Redirects that are followed, each to an address that is checked."""
    timeout: float = 10.0
    """Seconds for one socket operation."""
    total_timeout: float = 30.0
    """Seconds for one address, redirects and body included."""
    retries: int = 1
    """Further tries after a timeout, a broken connection or an answer of 429 or 5xx."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts, as `host` or `host:port`, that may be fetched though their address is private or loopback."""
    resolve: dict[str, str] = runtime(factory=dict)
    """`host:port` to `address:port`, as curl's --resolve: where to find a host that no DNS knows; allows it too."""
    respect_opt_out: bool = True
    """Honour `X-Robots-Tag: noai` and `noimageai`."""
    user_agent: str = "bicurate/0.1 (image-text dataset curation; img2dataset)"
    """How we name ourselves."""
    threads: int = runtime(32)
    """Connections at once in a task."""
    processes: int = runtime(2)
    """Tasks at once; on a cluster, its cores."""

    def __post_init__(self) -> None:
        for name in (
            "urls_per_shard",
            "max_bytes",
            "max_pixels",
            "min_side",
            "timeout",
            "total_timeout",
            "threads",
        ):
            require(getattr(self, name) > 0, f"download.{name}", getattr(self, name), "a number above 0")
        require(self.retries >= 0, "download.retries", self.retries, "0 or more")
        require(self.max_redirects >= 0, "download.max_redirects", self.max_redirects, "0 or more")
        for name, place in self.resolve.items():
            both = name.rpartition(":")[2].isdigit() and place.rpartition(":")[2].isdigit()
            require(both, f"download.resolve.{name}", place, "both sides are host:port")


@dataclass(frozen=True, kw_only=True)
class ManifestSection:
    """Survivors, sealed."""

    images_per_shard: int = 1_000
    """Pictures a tar shard, about; the number of shards follows from the number of pictures."""
    rows_per_file: int = 1_000_000
    """Rows a file of the manifest, about; each file is a range of pair ids."""

    def __post_init__(self) -> None:
        require(
            self.images_per_shard > 0, "manifest.images_per_shard", self.images_per_shard, "a number above 0"
        )
        require(self.rows_per_file > 0, "manifest.rows_per_file", self.rows_per_file, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class TrainSection:
    """A contrastive model from a manifest and its shards."""

    manifest: Path | None = runtime(None)
    """A manifest's folder; the run's own where it is not set."""
    selection: Path | None = runtime(None)
    """A selection to take instead of the manifest's `selected`: the directory that `curate balance --manifest --out` wrote, a
    table with columns pair_id and selected, or a subset in DataComp's form (.npy).
    """
    train_seed: int = 0
    """Seed of the weights, the data order and the crops."""
    image_size: int = 64
    """Side of the picture, pixels."""
    patch_size: int = 8
    """Side of a patch, pixels."""
    width: int = 128
    """Width of the image tower."""
    layers: int = 4
    """Blocks of the image tower."""
    text_width: int = 128
    """Width of the text tower."""
    text_layers: int = 3
    """Blocks of the text tower."""
    head_width: int = 32
    """Width of one attention head."""
    embed_dim: int = 128
    """Dimension of the shared space."""
    context_length: int = 32
    """Tokens of a caption, [SOT] and [EOT] included."""
    vocab_size: int = 4_096
    """Largest bilingual byte-level BPE vocabulary, special tokens included."""
    vocab_captions: int = 1_000_000
    """Captions the vocabulary is trained on, chosen by coin."""
    batch_size: int = 128
    """Pairs a step, over all processes."""
    steps: int = 600
    """Steps in all."""
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.2
    """Weight decay of AdamW; biases, gains and the logit scale have none. MetaCLIP's value."""
    beta2: float = 0.98
    """Second moment's decay. CLIP's value for ViT."""
    warmup: int = 60
    """Steps of linear warm-up before the cosine."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 for none."""
    crop_min_scale: float = 0.9
    """Smallest area of the random crop, as a share of the picture. CLIP's value."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    log_every: int = runtime(10)
    """Steps between lines of metrics.jsonl."""
    cache_bytes: int = runtime(1 << 30)
    """Decoded pictures kept in memory, bytes a process; what does not fit is decoded at every use."""
    decode_threads: int = runtime(2)
    """Threads that read and decode pictures ahead of the step, a process."""
    device: Literal["auto", "cpu", "cuda"] = runtime("auto")
    """Where to train; `auto` takes a GPU where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` takes bf16 where the device has it, and fp32 on a CPU."""
    threads: int = runtime(1)
    """Torch's threads; one is fastest for small models."""

    def __post_init__(self) -> None:
        for name in (
            "image_size",
            "patch_size",
            "width",
            "layers",
            "text_width",
            "text_layers",
            "batch_size",
            "steps",
        ):
            require(getattr(self, name) > 0, f"train.{name}", getattr(self, name), "a number above 0")
        require(
            self.image_size % self.patch_size == 0,
            "train.patch_size",
            self.patch_size,
            "a divisor of image_size",
        )
        for name in ("width", "text_width"):
            value = getattr(self, name)
            require(value % self.head_width == 0, f"train.{name}", value, "a multiple of train.head_width")
        require(self.context_length >= 3, "train.context_length", self.context_length, "3 or more")
        require(
            self.vocab_size >= 300,
            "train.vocab_size",
            self.vocab_size,
            "256 bytes, 3 special tokens and merges",
        )


@dataclass(frozen=True, kw_only=True)
class EvaluateSection:
    """What a model retrieves and classifies, in each language."""

    manifest: Path | None = runtime(None)
    """A manifest's folder whose held-out pictures are asked for; the run's own where it is not set."""
    checkpoint: Path | None = runtime(None)
    """A checkpoint; the run's own where it is not set."""
    max_items: int = 5_000
    """Held-out captions a language at the most, chosen by coin."""
    classes: tuple[Path, ...] = ()
    """JSON files of labels and templates for zero-shot classification."""
    batch_size: int = runtime(256)
    """Pictures or texts a forward pass."""


@dataclass(frozen=True, kw_only=True)
class ReportSection:
    """One self-contained page."""

    max_examples: int = 12
    """Largest families of duplicates that are shown."""
    max_entries: int = 50
    """Head entries, and tail entries, that are shown a language."""
    compare: Path | None = None
    """Another run whose evaluation is shown beside this one's."""
    language_alarm: float = later(1.5)
    """The page raises an alarm where a language's share of the pairs falls by more than this factor."""

    def __post_init__(self) -> None:
        for name in ("max_examples", "max_entries"):
            require(getattr(self, name) >= 0, f"report.{name}", getattr(self, name), "0 or more")
        require(self.language_alarm > 1, "report.language_alarm", self.language_alarm, "a factor above 1")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All of a run: one section a stage, and two that all stages share."""

    run: RunSection = field(default_factory=RunSection)
    spark: SparkSection = field(default_factory=SparkSection)
    extract: ExtractSection = field(default_factory=ExtractSection)
    metadata: MetadataSection = field(default_factory=MetadataSection)
    match: MatchSection = field(default_factory=MatchSection)
    balance: BalanceSection = field(default_factory=BalanceSection)
    download: DownloadSection = field(default_factory=DownloadSection)
    embed: EmbedSection = field(default_factory=EmbedSection)
    neighbours: NeighboursSection = field(default_factory=NeighboursSection)
    dedup: DedupSection = field(default_factory=DedupSection)
    manifest: ManifestSection = field(default_factory=ManifestSection)
    train: TrainSection = field(default_factory=TrainSection)
    evaluate: EvaluateSection = field(default_factory=EvaluateSection)
    report: ReportSection = field(default_factory=ReportSection)
    card: CardSection = field(default_factory=CardSection)

    def __post_init__(self) -> None:
        for name in ("t", "budget"):
            unknown = sorted(set(getattr(self.balance, name)) - set(self.run.languages))
            allowed = f"not among run.languages {list(self.run.languages)}"
            require(not unknown, f"balance.{name}", unknown, allowed)
