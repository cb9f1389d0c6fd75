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
# # Entries: what is counted, and what a threshold does to it
#
# MetaCLIP (Xu et al., "Demystifying CLIP Data", 2023, section 3) curates without looking at a picture. It writes down a long
# list of things worth knowing, the *metadata*; finds which of these *entries* each alt-text names; counts, entry by entry; and
# thins out the pairs of those entries that have too many. This notebook follows these steps on one run of `bicurate`, with the
# run's own numbers. MetaCLIP 2 (2025) does the same in every language, and finds a language's threshold from English's.
#
# It reads the run that `curate demo` makes. For another run, set `BICURATE_RUN` to its directory. Then: `02_matches`, what the
# texts name; `03_balance`, what stays; `04_duplicates`, whose captions meet.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

from curation.balance import entry_prob, p_to_t, t_to_p
from curation.report import notebook as nb
from curation.report.entries import entry_counts, examples, sources_of, texts_of

records = nb.open_run("metadata", "count", "balance")
nb.set_style()
colours = nb.languages_of(records)
languages = list(colours)
counts = entry_counts(records, languages)

# %% [markdown]
# ## The metadata
#
# An entry is a string to look for. MetaCLIP's half a million come from four places: WordNet's synsets, words and pairs of words
# that are frequent in Wikipedia, and titles of its articles. The list is frozen before anything is matched: an entry's id is its
# line, and the file's hash travels with every result. How many entries came from where:

# %%
came_from = {lang: sources_of(records["metadata"], lang, counts[lang].pool.size) for lang in languages}
pd.DataFrame(
    {lang: pd.Series(np.array(each.names)[each.codes]).value_counts() for lang, each in came_from.items()}
).fillna(0).astype(int)

# %% [markdown]
# ## Matching and counting
#
# A text matches an entry where the entry stands in it as words; what a word is in Korean, where particles cling to nouns, is
# `02_matches`'s matter. A text without a match is dropped: that alone removes file names and noise. What is left is counted: how
# many texts name each entry? Pictures held out for evaluation are not counted.

# %%
pd.DataFrame(
    {
        lang: {
            "entries": each.pool.size,
            "with a match": int((each.pool > 0).sum()),
            "matches": int(each.pool.sum()),
            "matches of the largest": int(each.pool.max()),
            "entries that hold half of all matches": int(
                np.searchsorted(np.cumsum(np.sort(each.pool)[::-1]), each.pool.sum() / 2) + 1
            ),
        }
        for lang, each in counts.items()
    }
)

# %% [markdown]
# ## Zipf's law
#
# A few entries are named all the time, most hardly ever. With both axes in logarithms, counts over ranks come near a straight
# line. A model trained on such a pool sees the first entries again and again. The dashed lines are the thresholds of this run;
# the words are the entries at these ranks.

# %%
figure, axes = plt.subplots(figsize=(6.8, 3.8))
for place, (lang, each) in enumerate(counts.items()):
    ordered = np.sort(each.pool[each.pool > 0])[::-1]
    axes.loglog(np.arange(1, ordered.size + 1), ordered, color=colours[lang], label=lang)
    ids = np.argsort(-each.pool, kind="stable")
    for rank in (r for r in (1 + place, 6 + 4 * place, 40 + 20 * place) if r <= ordered.size):
        word = nb.label(texts_of(records["metadata"], lang, ids[rank - 1 : rank].tolist())[0], 14)
        axes.plot(rank, ordered[rank - 1], "o", color=colours[lang], markersize=4)
        side, shift = ("left", (4, 4)) if place == 0 else ("right", (-4, -13))
        axes.annotate(
            word, (rank, ordered[rank - 1]), shift, textcoords="offset points", color=colours[lang], ha=side
        )
    if each.t is not None and np.isfinite(each.t):
        axes.axhline(each.t, color=colours[lang], linestyle="--", linewidth=1)
axes.set(xlabel="rank of the entry", ylabel="texts that name it")
axes.legend()
plt.show()

# %% [markdown]
# ## Head and tail: t and p
#
# Entries with `t` matches or more are the *head*, the others the *tail*. The tail's share of all matches is `p`:
#
#     p = (matches of entries with count < t) / (all matches)
#
# MetaCLIP takes t = 20,000 for 400 million English pairs. MetaCLIP 2 keeps `p` rather than `t` equal from language to language:
# from English's `t` it finds `p`, and then, for each other language, the count up to which that language's tail has the share `p`.
# Here both steps are done again, and compared with what the run decided.

# %%
decided = records["balance"].notes
first = decided["t_given"][0]
p = t_to_p(counts[first].pool, float(decided["t"][first]))
rows = {}
for lang in languages:
    given = lang in decided["t_given"]
    found = float(decided["t"][lang]) if given or p == 0 else p_to_t(counts[lang].pool, p)
    rows[lang] = {
        "t of the run": float(decided["t"][lang]),
        "t found here": found,
        "how": "given" if given else f"from p = {p:.4f}",
        "its tail's share": t_to_p(counts[lang].pool, found),
    }
pd.DataFrame(rows).T

# %%
figure, axes = plt.subplots(figsize=(6.8, 3.6))
for lang, each in counts.items():
    ordered = np.sort(each.pool[each.pool > 0])
    axes.semilogx(
        ordered, np.cumsum(ordered) / ordered.sum(), color=colours[lang], label=lang, drawstyle="steps-post"
    )
    if each.t is not None and np.isfinite(each.t):
        axes.axvline(each.t, color=colours[lang], linestyle="--", linewidth=1)
axes.axhline(p, color="#8a939b", linewidth=1)
axes.annotate("p", (1, p), (2, 3), textcoords="offset points", color="#5c6873")
axes.set(xlabel="count of the entry", ylabel="share of all matches up to it", ylim=(0, 1.02))
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# The curves need not go through `p` exactly: counts are whole numbers, and the count with the nearest share is taken.
#
# ## What t does
#
# Each pair of a head entry is kept with the chance `t / count`, each pair of a tail entry with 1. Were every pair to name one
# entry alone, `min(count, t)` of an entry's pairs would stay. Added up from tail to head, this is the figure by which MetaCLIP
# explains itself: without a threshold the curve shoots up at the end, with one it goes on as a line of slope `t`.

# %%
figure, panels = plt.subplots(1, len(counts), figsize=(4.2 * len(counts), 3.4), squeeze=False)
for axes, (lang, each) in zip(panels[0], counts.items(), strict=True):
    present = np.sort(each.pool[each.pool > 0])
    for t in sorted(
        {np.inf, 10 * (each.t or np.inf), each.t or np.inf, (each.t or np.inf) / 10}, reverse=True
    ):
        name = "t = inf" if np.isinf(t) else f"t = {t:,.4g}"
        axes.plot(np.cumsum(np.minimum(present, t)), label=name, linewidth=2.2 if t == each.t else 1.2)
    axes.set(title=lang, xlabel="entries, from tail to head", ylabel="matches, added up")
    axes.legend()
plt.show()

# %% [markdown]
# A larger `t` keeps more pairs and more of the head; a smaller one evens out the entries and throws more away:

# %%
table = {}
for lang, each in counts.items():
    for factor in (0.1, 0.5, 1, 2, 10):
        t = factor * (each.t or np.inf)
        capped = np.minimum(each.pool, t)
        head = each.pool >= t
        table[lang, f"{t:,.4g}"] = {
            "head entries": int(head.sum()),
            "tail's share before (p)": f"{each.pool[~head].sum() / each.pool.sum():.3f}",
            "tail's share after": f"{capped[~head].sum() / capped.sum():.3f}",
            "matches kept": f"{capped.sum() / each.pool.sum():.3f}",
        }
pd.DataFrame(table).T.rename_axis(["language", "t"])

# %% [markdown]
# ## The aim and the outcome
#
# Texts name several entries. A pair stays if *any* of its entries keeps it, so its chance is 1 minus the product of
# (1 - chance) over its entries: a text that names one rare thing stays, whatever else it names. That is why head entries end
# above `t`. The run's margin, its dead links, its merged pictures and its second balance among the survivors come on top. The
# largest entries of each language, what `t` alone would leave of them, and what was selected in the end:

# %%
for lang, each in counts.items():
    ids = each.largest(10)
    shown = nb.as_table(examples(records["metadata"], each, 10, 0)["head"])
    shown["chance by t"] = entry_prob(each.pool, each.t or np.inf)[ids].round(3)
    shown["aim"] = np.minimum(each.pool[ids], each.t or np.inf)
    display(shown[["entry", "source", "pool", "chance by t", "aim", "selected"]].rename_axis(lang))

# %% [markdown]
# And the tail: entries drawn by coin among those with fewer than `t` matches. All that could be fetched of them stays.

# %%
for lang, each in counts.items():
    drawn = nb.as_table(examples(records["metadata"], each, 8, 0)["tail"])
    display(drawn.reindex(columns=["entry", "source", "pool", "selected"]).rename_axis(lang))

# %% [markdown]
# `curate report` shows the same figures and tables for a whole run, with every stage's losses beside them. Next: `02_matches`.
