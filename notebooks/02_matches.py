# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Matches: which entries does a text name?
#
# MetaCLIP (2023, section 3.2) calls it sub-string matching: an alt-text is good enough if it names at least one thing of the
# list. This one test is the whole filter on quality; no model looks at the picture or at the text. MetaCLIP 2 (2025, section 3)
# first tells each text's language and then asks that language's list alone.
#
# This notebook shows what a text goes through, with texts of the run: its language, the words found in it, Korean words with
# their particles, texts in two languages, and what is dropped on the way. It reads the run that `curate demo` makes; for another
# one, set `BICURATE_RUN` to its directory. `01_entries` comes before it.

# %%
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
from IPython.display import Markdown, display

from curation.config import MatchSection
from curation.korean_lattice import Lattice
from curation.language import language_identifier
from curation.match import PairMatcher, build_matcher
from curation.report import notebook as nb
from curation.schemas import TABLES
from curation.stage import Tally

records = nb.open_run("extract", "metadata", "match")
nb.set_style()
colours = nb.languages_of(records)
entries = nb.entries_of(records)
config = records["match"].data["config"]
modes = {lang: MatchSection(mode=config["mode"]).mode_of(lang) for lang in colours}
print(", ".join(f"{lang}: {len(entries[lang]):,} entries, mode {modes[lang]}" for lang in colours))

# %% [markdown]
# ## Texts and what they name
#
# Some texts of each language, drawn by coin, with the entries that the run found in them:

# %%
COLUMNS = ["lang", "clean_text", "entry_ids", "mixed", "lang_score", "detector"]
matches = nb.drawn(records["match"].path / "matches", COLUMNS, 20_000)


def named(row):
    return ", ".join(entries[row.lang][entry] for entry in row.entry_ids)


for lang in colours:
    own = matches[(matches.lang == lang) & ~matches.mixed.astype(bool)].drop_duplicates("clean_text")
    some = nb.some_of(own, 8)
    display(
        nb.as_table(
            {"text": some.clean_text, "names": [named(row) for row in some.itertuples()]}
        ).rename_axis(lang)
    )

# %% [markdown]
# A text that names several things counts for each of them. How many do texts name?

# %%
figure, axes = plt.subplots(figsize=(6.8, 2.8))
for place, (lang, colour) in enumerate(colours.items()):
    number = matches[matches.lang == lang].entry_ids.map(len).clip(upper=12)
    share = number.value_counts(normalize=True).reindex(range(1, 13), fill_value=0)
    axes.bar(share.index + 0.38 * place, share, width=0.38, color=colour, label=lang)
axes.set(xlabel="entries that a text names (the last bar: 12 or more)", ylabel="share of the texts")
axes.set_xticks(range(1, 13))
axes.legend()
plt.show()

# %% [markdown]
# ## Words of Korean
#
# MetaCLIP 2 wants a space on both sides of an entry wherever the script is written with spaces, and Hangul is. But Korean writes
# particles and endings onto the noun: `고양이가`, `고양이를`, `고양이는` are all a cat, and only `고양이` alone has its spaces.
# Plain substrings would find them all, and more than there is: `우스` in `마우스에`.
#
# Mode `korean` cuts each run of syllables into its morphemes, by the best path through a lattice of all that they could be, and
# finds an entry where it is a nominal piece or several joined. Some runs, and where they are cut (tags as Kiwi's and Sejong's:
# NNG noun, JK. particle, VV and VA stems, E. endings, XS. suffixes):

# %%
korean = entries.get("ko", [])
lattice = Lattice(entry for entry in korean if entry.isalpha())


def cut(run):
    return " + ".join(f"{run[a:b]}/{lattice.tags[tag]}" for a, b, tag in lattice.pieces(run, "_"))


nb.as_table(
    {
        "run": (runs := ["고양이가", "마우스에", "수석연구원은", "강아지와", "출발한", "빨간"]),
        "cut": map(cut, runs),
    }
)

# %% [markdown]
# What that does to this run's Korean texts: three rules on the same list and the same texts. *Spaces* is MetaCLIP 2's, *words* is
# mode `korean`, *substrings* asks for nothing beside the entry.

# %%
texts = matches[matches.lang == "ko"].clean_text.tolist()
texts = list(dict.fromkeys(texts))[:5_000]


def substrings(text):
    return sorted(
        ids[part]
        for size in sizes
        for start in range(len(text) - size + 1)
        if (part := text[start : start + size]) in ids
    )


ids = {entry: position for position, entry in reversed(list(enumerate(korean)))}
sizes = sorted({len(entry) for entry in ids})
found = {"spaces": [], "words": [], "substrings": []}
if korean and texts:
    found = {
        "spaces": build_matcher(korean, lang="ko", mode="metaclip2").match_batch(texts),
        "words": build_matcher(korean, lang="ko", mode="korean").match_batch(texts),
        "substrings": [sorted(set(substrings(text))) for text in texts],
    }
pd.DataFrame({
    rule: {
        "texts": len(each),
        "texts that name an entry": sum(map(bool, each)),
        "matches": sum(map(len, each)),
        "entries found at all": len(set().union(*each)),
    }
    for rule, each in found.items()
}).T  # fmt: skip

# %% [markdown]
# These are texts that the run kept: a run that matched by spaces lost those in which spaces find nothing before this table sees
# them. Where the rules differ, on texts drawn by coin:


# %%
def words(ids, without):
    return ", ".join(korean[i] for i in ids if i not in without)


rows = [
    {
        "text": text,
        "both find": words(by_word, set(by_word) - set(by_space)),
        "words alone": words(by_word, by_space),
        "spaces alone": words(by_space, by_word),
        "substrings alone": words(by_part, {*by_word, *by_space}),
    }
    for text, by_space, by_word, by_part in zip(texts, *found.values(), strict=False)
]
differ = pd.DataFrame([row for row in rows if row["words alone"] or row["substrings alone"]])
nb.as_table(nb.some_of(differ, 12, key="text") if len(differ) else differ)

# %% [markdown]
# Mode `korean` looks for nouns. Adjectives and verbs change their form, so `빨간` (red) or `있는` (being), where a list holds them,
# are found between spaces and not as words; a syllable that is a noun at times and something else at others may be missed.
#
# What matters for the balance is the count of each entry. The Korean entries whose counts change most:

# %%
before, after = (Counter(i for each in found[rule] for i in each) for rule in ("spaces", "words"))
changed = sorted(set(before) | set(after), key=lambda i: (-abs(after[i] - before[i]), i))[:14][::-1]
figure, axes = plt.subplots(figsize=(6.8, 4.0))
places = np.arange(len(changed))
axes.barh(places + 0.2, [before[i] for i in changed], 0.38, label="between spaces", color="#9fb8c6")
axes.barh(places - 0.2, [after[i] for i in changed], 0.38, label="as words", color=colours.get("ko"))
axes.set_yticks(places, [nb.label(korean[i]) for i in changed])
axes.set(xlabel="texts that name the entry")
axes.grid(visible=False, axis="y")
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# On sentences whose words linguists have marked, spaces find about one Korean word in six; mode `korean` and how it was measured
# are in `benchmarks/korean.py`.
#
# ## Texts in two languages
#
# A text may be Korean and English at once: both halves long enough to be told. It is asked in both lists, has a row in each
# language's matches, and later stays with the union of what both say. Its picture is not counted twice.

# %%
both = matches[matches.mixed.astype(bool)]
display(Markdown(f"**{both.pair_id.nunique():,}** mixed texts of {matches.pair_id.nunique():,} looked at."))
first = nb.some_of(both.drop_duplicates("pair_id"), 8).pair_id
nb.as_table([
    {"text": rows.clean_text.iloc[0]} | {f"names in {row.lang}": named(row) for row in rows.itertuples()}
    for _, rows in both[both.pair_id.isin(first)].groupby("pair_id")
])  # fmt: skip

# %% [markdown]
# ## What is dropped, and why
#
# The record of the stage closes its sum: every pair that came in went on or left for a reason. These are also the report's numbers.

# %%
ledger = next(item for item in records["match"].ledgers if item["unit"] == "pairs")
sums = pd.Series(
    {"in": ledger["in"], **{f"dropped: {k}": v for k, v in ledger["dropped"].items()}, "out": ledger["out"]}
)
pd.DataFrame({"pairs": sums, "share": (sums / max(1, ledger["in"])).round(4)})

# %% [markdown]
# To see texts of each reason, the step is done again here on pairs of the run, with the run's settings (a sample of a large run):

# %%
pairs = nb.drawn(records["extract"].path / "pairs", ["url", "text"], 20_000)
seed = int(config["run.seed"])
identifier = language_identifier(
    tuple(colours), min_score=config["lid_min_score"], langdetect_share=config["langdetect_share"], seed=seed
)
matcher = PairMatcher(
    identifier,
    {lang: build_matcher(entries[lang], lang=lang, mode=modes[lang]) for lang in colours},
    min_chars=config["min_chars"],
    max_chars=config["max_chars"],
)
tally = Tally()
batch = pa.RecordBatch.from_pandas(pairs[["pair_id", "url", "text"]], preserve_index=False)
again = matcher.match_pairs(batch, TABLES["matches"], tally).to_pandas()
done = tally.of("pairs")
pd.DataFrame({
    "the run's record": {"in": ledger["in"], **ledger["dropped"], "out": ledger["out"]},
    f"here, of {pairs.attrs['share']:.0%} of its pairs": {"in": done.rows_in, **{str(k): v for k, v in done.dropped.items()}, "out": done.rows_out},
}).fillna(0).astype(int)  # fmt: skip

# %% [markdown]
# Short texts for each reason. `no_match` are texts in a language of the run that name nothing of its list; `no_language` are
# those that nobody wrote for people (file names, numbers, placeholders) or whose language stays unsure; `other_language` are sure
# to be in another one.

# %%
left = again[again["_reason"].notna()].merge(pairs[["pair_id"]], on="pair_id")
texts_of = dict(zip(pairs.pair_id, pairs.text, strict=True))
shown = []
for reason, rows in left.groupby("_reason"):
    some = nb.some_of(rows.assign(text=rows.pair_id.map(texts_of)).drop_duplicates("text"), 4)
    shown.append(
        {"reason": reason, "texts": len(rows), "for example": " | ".join(text[:20] for text in some.text)}
    )
nb.as_table(shown)

# %% [markdown]
# ## Who told the language
#
# Hangul decides by itself: no model is asked about a text that is mostly Korean letters. Latin letters go to fastText, and only
# the few of which it is unsure to langdetect, a thousand times slower.

# %%
figure, axes = plt.subplots(figsize=(6.8, 2.8))
for lang, colour in colours.items():
    score = matches[(matches.lang == lang) & (matches.detector != "script")].lang_score
    if len(score):
        axes.hist(
            score.clip(0, 1), bins=np.linspace(0, 1, 41), color=colour, label=f"{lang}, by a model", alpha=0.8
        )
axes.axvline(config["lid_min_score"], color="#1b2733", linewidth=1, linestyle="--")
axes.set(xlabel="the model's probability of the language; dashed: below it another is asked", ylabel="texts")
if axes.containers:
    axes.legend(loc="upper left")
plt.show()
pd.crosstab(matches.detector, matches.lang)

# %% [markdown]
# The languages that leave, by what they are taken for, are in `curate report`. Next: `03_balance`, where these matches decide.
