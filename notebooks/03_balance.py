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
# # Balance: what stays, and why
#
# MetaCLIP (2023, sections 3.4 and 3.5) ends with a few lines: an entry with more than `t` matches keeps each of its
# pairs with the chance `t / count`, every other entry keeps all of its own, and a pair stays if one of its entries keeps it.
# MetaCLIP 2 (2025) does so in each language, each with a `t` of its own.
#
# This notebook does the balance of one run again, in the open, and holds each number against the run's record. It reads the run
# that `curate demo` makes; for another one, set `BICURATE_RUN` to its directory. `01_entries` and `02_matches` come before it.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from curation.balance import COIN, WEIGHT_UNIT, entry_prob, miss_prob, p_to_t, t_to_p
from curation.ids import coins
from curation.plan import followed, sizes
from curation.report import notebook as nb
from curation.report.entries import entry_counts, shares
from curation.report.planning import HELD_OUT, read_pool
from curation.report.scan import counts_of

records = nb.open_run("metadata", "match", "count", "balance")
nb.set_style()
colours = nb.languages_of(records)
languages = tuple(colours)
entries = nb.entries_of(records)
counts = entry_counts(records, languages)
run = records["count"].data["config"]
notes = records["balance"].notes

# %% [markdown]
# ## t and p
#
# One language's `t` is given. `p`, its tail's share of all matches, gives the others theirs (`01_entries` shows the curves). Before
# the download each `t` is multiplied with a margin, since links are dead and pictures are doubles:

# %%
t = {lang: float(value) for lang, value in notes["t"].items()}
p = t_to_p(counts[notes["t_given"][0]].pool, t[notes["t_given"][0]])
nb.as_table([
    {
        "language": lang,
        "t": t[lang],
        "how": "given" if lang in notes["t_given"] else f"from p = {p:.4f}",
        "t, found here": t[lang] if lang in notes["t_given"] or p == 0 else p_to_t(counts[lang].pool, p),
        "with the margin": notes["margin"] * t[lang],
        "head entries": int(counts[lang].head.sum()),
        "tail entries": int(counts[lang].tail().sum()),
    }
    for lang in languages
])  # fmt: skip

# %% [markdown]
# ## The chance of an entry, the chance of a pair
#
# An entry's chance is 1 up to `t` and falls as `t / count` from there on:

# %%
figure, axes = plt.subplots(figsize=(6.8, 3.0))
for lang, colour in colours.items():
    present = np.unique(counts[lang].pool[counts[lang].pool > 0])
    axes.semilogx(
        present,
        entry_prob(present, t[lang]),
        ".-",
        color=colour,
        label=f"{lang}, t = {t[lang]:,.4g}",
        markersize=4,
    )
axes.set(xlabel="count of the entry", ylabel="chance of each of its pairs", ylim=(0, 1.05))
axes.legend()
plt.show()

# %% [markdown]
# A pair stays if any of its entries keeps it: 1 minus the product of (1 - chance). Here is the whole balance, on the run's matches
# (a sample of the pairs of a large run). A mixed text has a row in each language, so its rows' products are multiplied:

# %%
matches = nb.drawn(records["match"].path / "matches", ["lang", "url", "clean_text", "entry_ids"], 200_000)
seed = int(run["run.seed"])


def keep_probs(rows, prob):
    """Return each pair's chance: prob holds every language's entry probabilities."""
    miss = np.ones(len(rows))
    for lang, prob_E in prob.items():
        own = (rows.lang == lang).to_numpy()
        ids = rows.entry_ids[own]
        offsets = np.concatenate([[0], np.cumsum(ids.map(len).to_numpy(dtype=np.int64))])
        miss[own] = miss_prob(prob_E, np.concatenate([*ids, np.empty(0, np.int32)]).astype(np.int64), offsets)
    return 1.0 - pd.Series(miss, index=rows.pair_id).groupby(level=0).prod()


def probs(factor):
    """Return the chances of all entries at so many times the run's t."""
    return {lang: entry_prob(counts[lang].pool, factor * t[lang]) for lang in languages}


pairs = matches.drop_duplicates("pair_id").set_index("pair_id")
pairs["chance"] = keep_probs(matches, probs(notes["margin"]))
pairs["coin"] = coins(pairs.index.tolist(), seed, COIN)
pairs["held_out"] = coins(pairs.url.tolist(), seed, HELD_OUT) < float(run["run.heldout_share"])

# %% [markdown]
# A few pairs. A pair's chance is at least that of its rarest entry:

# %%
prob = probs(notes["margin"])
short = matches[(matches.clean_text.str.len() < 60) & ~matches.pair_id.map(pairs.held_out).astype(bool)]
some = nb.some_of(short.drop_duplicates("clean_text"), 10)
nb.as_table([
    {
        "text": row.clean_text,
        "its rarest entries: count, chance": "; ".join(
            f"{entries[row.lang][i][:20]}: {counts[row.lang].pool[i]:,}, {prob[row.lang][i]:.2f}"
            for i in sorted(row.entry_ids, key=lambda i: counts[row.lang].pool[i])[:3]
        ),
        "chance": round(pairs.chance[row.pair_id], 3),
        "coin": round(pairs.coin[row.pair_id], 3),
        "wanted": bool(pairs.coin[row.pair_id] < pairs.chance[row.pair_id]),
    }
    for row in some.itertuples()
])  # fmt: skip

# %% [markdown]
# ## The coin
#
# One coin a pair, a hash of its id: the same on every machine and in every order, evenly spread, and it knows nothing of the text.
# So of the pairs with chance 0.3, three in ten stay. The bars are four standard errors each way:

# %%
counted = pairs[~pairs.held_out]
edges = np.linspace(0, 1, 11)
part = np.digitize(counted.chance, edges[1:-1])
figure, axes = plt.subplots(figsize=(6.8, 3.2))
for n in np.unique(part):
    group = counted[part == n]
    middle, spread = group.chance.mean(), np.sqrt((group.chance * (1 - group.chance)).sum()) / len(group)
    axes.errorbar(
        middle,
        (group.coin < group.chance).mean(),
        4 * spread,
        fmt="o",
        color=colours[languages[0]],
        capsize=3,
    )
axes.plot([0, 1], [0, 1], color="#8a939b", linewidth=1)
axes.set(xlabel="chance", ylabel="share that stays")
plt.show()

# %% [markdown]
# The sum of the chances is the expected number of pairs, known before any coin is tossed. Against the record (`expected` leaves
# out what is held out, which is fetched whatever it shows):

# %%
share = matches.attrs["share"]
stays = counted.coin < counted.chance
error = float(np.sqrt((counted.chance * (1 - counted.chance)).sum()))
ledger = next(item for item in records["balance"].ledgers if item["unit"] == "pairs")
nb.as_table([
    {"pairs": "to train on, expected", "here": round(counted.chance.sum() / share, 1), "the run's record": notes["expected_pairs"]},
    {"pairs": "to train on, wanted", "here": stays.sum() / share, "the run's record": ledger["out"] - notes["held_out_pairs"]},
    {"pairs": "held out", "here": pairs.held_out.sum() / share, "the run's record": notes["held_out_pairs"]},
    {"pairs": "one standard error of the toss", "here": round(error / share, 1), "the run's record": ""},
])  # fmt: skip

# %% [markdown]
# ## How many does a t keep?
#
# The same sum for other thresholds, by language: this curve is what `curate plan` solves, for a size, a share or a budget. It ends
# where everything stays, which no `t` can exceed. Dashed: the run's `t`, before the margin.

# %%
pool, pool_counts, _ = read_pool(records["match"], records["count"], languages, 200_000)
first = notes["t_given"][0]
others = {lang: t[lang] for lang in notes["t_given"] if lang != first}
steps = np.geomspace(1, 1.2 * max(2, pool_counts[first].max()), 25)
curve = []
for step in steps:
    at = followed(pool_counts, {**others, first: step}, languages)
    curve.append(sizes(pool, {lang: entry_prob(pool_counts[lang], at[lang]) for lang in languages}))
figure, axes = plt.subplots(figsize=(6.8, 3.4))
for lang, colour in colours.items():
    axes.semilogx(steps, [point[lang] for point in curve], color=colour, label=lang)
axes.semilogx(steps, [sum(point.values()) for point in curve], color="#1b2733", label="all", linewidth=1)
axes.axvline(t[first], color="#1b2733", linewidth=1, linestyle="--")
axes.set(xlabel=f"t of {first}; the others follow by p", ylabel="pairs expected to stay", ylim=(0, None))
axes.legend()
plt.show()

# %% [markdown]
# ## Nested selections
#
# The coin stays when `t` moves, so that a pair which a small `t` keeps, every larger one keeps too: selections for different sizes
# lie inside each other, and comparing two of them compares the pairs between. `lost` counts pairs of the line above that are gone:

# %%
rows, above = [], None
for factor in (0.25, 0.5, 1.0, 2.0, 4.0, np.inf):
    kept = set(counted.index[counted.coin < keep_probs(matches, probs(factor)).reindex(counted.index)])
    name = "inf" if np.isinf(factor) else ", ".join(f"{lang} {factor * t[lang]:,.4g}" for lang in languages)
    rows.append({"t": name, "pairs that stay": len(kept), "lost": len((above or set()) - kept)})
    above = kept
nb.as_table(rows)

# %% [markdown]
# ## Balanced again, among the survivors
#
# Some links are dead, some pictures are copies of others: what is there in the end is not what was wanted. So the survivors are
# counted and balanced again, now by `t` without the margin. They are a sample, though: the head was thinned out, the tail was not.
# A survivor that was wanted with chance 0.2 stands for five pairs of the pool, so each counts as 1 / chance (Horvitz and Thompson,
# 1952). On the left the plain counts of the survivors, on the right the weighted ones, each over the count in the pool:

# %%
second = {}
if "count-survivors" in records:
    table = records["count-survivors"].path / "counts"
    second = {
        lang: counts_of(table, counts[lang].pool.size, lang, column="weight") * WEIGHT_UNIT
        for lang in languages
    }
    figure, panels = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True)
    for lang, colour in colours.items():
        plain = counts_of(table, counts[lang].pool.size, lang)
        for axes, seen in zip(panels, (plain, second[lang]), strict=True):
            named = (counts[lang].pool > 0) & (seen > 0)
            axes.loglog(
                counts[lang].pool[named], seen[named], ".", color=colour, markersize=4, alpha=0.6, label=lang
            )
    for axes, name in zip(panels, ("counted", "weighted by 1 / chance"), strict=True):
        line = np.array([1, max(2, *(each.pool.max() for each in counts.values()))])
        axes.loglog(line, line, color="#8a939b", linewidth=1)
        axes.set(xlabel="count of the entry in the pool", title=f"survivors, {name}")
    panels[0].set(ylabel="count among the survivors")
    panels[0].legend()
    plt.show()

# %% [markdown]
# The plain counts bend where the first balance cut: seen through them, the head would look tamer than it is, and the second balance
# would hardly cut it. The weighted ones lie along the line, somewhat below it for what was lost on the way.
#
# The final chance is the smaller of the two, against the same coin:

# %%
if "balance-survivors" in records and second:
    last = records["balance-survivors"].notes
    t_after = {lang: float(value) for lang, value in last["t"].items()}
    columns = ["lang", "entry_ids", "keep_prob_wanted", "coin", "split"]
    rows = nb.drawn(records["dedup"].path / "rows", columns, 200_000)
    left = rows.drop_duplicates("pair_id").set_index("pair_id")
    left["second"] = keep_probs(rows, {lang: entry_prob(second[lang], t_after[lang]) for lang in languages})
    train = left[left.split == "train"]
    final = np.minimum(train.keep_prob_wanted, train.second)
    few = rows.attrs["share"]
    display(nb.as_table([
        {"captions": "survivors to train on", "here": len(train) / few, "the run's record": ""},
        {"captions": "expected in the selection", "here": round((final / train.keep_prob_wanted).sum() / few, 1), "the run's record": last["expected_pairs"]},
        {"captions": "selected", "here": int((train.coin < final).sum()) / few, "the run's record": last.get("selected_pairs", "")},
        {"captions": "for which the margin was too small", "here": int((train.second > train.keep_prob_wanted).sum()) / few, "the run's record": last["margin_too_small_pairs"]},
    ]))  # fmt: skip
    display(pd.DataFrame({"t, before": t, "t, among the survivors": t_after}))

# %% [markdown]
# (A run that caps captions a picture or pairs a host selects fewer than the toss alone, which is what is done again here.)
#
# ## Before and after
#
# What it comes to, entry by entry: its count in the pool, and among the selected captions. The line is `min(count, t)`, the aim.
# Below it: what was lost on the way. Above: entries that stand beside rarer ones, which keep their pairs.

# %%
figure, panels = plt.subplots(1, len(languages), figsize=(4.4 * len(languages), 4.0), squeeze=False)
for axes, (lang, colour) in zip(panels[0], colours.items(), strict=True):
    each = counts[lang]
    after = each.selected if each.selected is not None else np.zeros_like(each.pool)
    seen = (each.pool > 0) & (after > 0)
    axes.loglog(each.pool[seen], after[seen], ".", color=colour, markersize=4, alpha=0.6)
    line = np.geomspace(1, max(2, each.pool.max()), 100)
    axes.loglog(line, np.minimum(line, t[lang]), color="#1b2733", linewidth=1)
    for i in each.largest(40)[:1] + each.largest(40)[5::12]:
        if after[i]:
            word, place = nb.label(entries[lang][i], 14), (each.pool[i], after[i])
            axes.annotate(word, place, (-6, 2), textcoords="offset points", ha="right")
    axes.set(
        title=f"{lang}: t = {t[lang]:,.4g}",
        xlabel="count in the pool",
        ylabel="count among the selected captions",
    )
plt.show()

# %% [markdown]
# And the tail's share of all matches, which is what the balance is for. These are the report's numbers:

# %%
nb.as_table([
    {"language": lang, "among": row["where"], "matches": row["matches"], "head's share": f"{row['head']:.3f}", "tail's share": f"{row['tail']:.3f}"}
    for lang in languages
    for row in shares(counts[lang])
])  # fmt: skip

# %%
kept = [
    f"{lang}: {int((counts[lang].selected > 0).sum()):,} of {int((counts[lang].pool > 0).sum()):,}"
    for lang in languages
    if counts[lang].selected is not None
]
display(
    Markdown(
        f"Entries that still have a selected caption, of those with a match in the pool: {'; '.join(kept)}."
    )
)

# %% [markdown]
# An entry of the tail loses nothing to the balance; what it loses, dead links and copies take. Next: `04_duplicates`.
