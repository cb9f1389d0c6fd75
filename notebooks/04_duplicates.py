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
# # Duplicates: which pictures are the same, and who inherits the texts
#
# The same picture lies at many addresses: copied, made smaller, framed, signed. SemDeDup (2023) found that 30 % of LAION-440M are
# such copies; DINOv2 (2023, section 3) removed them from 1.3 billion pictures and kept 1.1. Both embed each picture as a vector and
# call two pictures the same where the cosine of their vectors is high. DINOv2 has no texts; SemDeDup throws the copies' away. Here
# the kept picture inherits them, Korean and English.
#
# The notebook reads the run that `curate demo` makes; for another one, set `BICURATE_RUN` to its directory.

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Image, Markdown, display

from curation.dedup.builtin import codes as builtin_codes
from curation.dedup.groups import RULES, group, rank
from curation.dedup.neighbours import Pairs
from curation.demo.chance import Chance
from curation.demo.copies import TRANSFORMS, near_duplicate
from curation.images import decode
from curation.report import notebook as nb
from curation.report.duplicates import families
from curation.report.pictures import bodies, contact_sheet, cosine, decoded, described, nearest

records = nb.open_run("metadata", "download", "embed", "neighbours", "dedup")
nb.set_style()
colours = nb.languages_of(records)
run = records["dedup"].path.parent
threshold = float(records["dedup"].data["config"]["threshold"])

# %% [markdown]
# ## In numbers
#
# Cheapest first: the same address once, the same bytes once, the same descriptor, then descriptors that are near.

# %%
outcomes = nb.drawn(records["download"].path / "outcomes", ["status", "image_id"], 1_000_000, key="url")
fetched = outcomes[outcomes.status == "ok"]
groups = nb.drawn(
    records["dedup"].path / "groups", ["joined", "survivor", "cosine", "rule"], 1_000_000, key="image_id"
)
nb.as_table([
    {"pictures": "addresses that gave one", "number": len(fetched)},
    {"pictures": "of different bytes", "number": fetched.image_id.nunique()},
    {"pictures": "of identical descriptor, merged", "number": int((groups.rule == "identical_descriptor").sum())},
    {"pictures": f"near (cosine {threshold} or more), merged", "number": int((groups.rule == "near_descriptor").sum())},
    {"pictures": "kept", "number": int(groups.survivor.sum())},
])  # fmt: skip

# %% [markdown]
# A *family* is a kept picture and those that joined it. Most pictures are alone, and a few families are large:

# %%
by_size, largest = families(records["dedup"], 6)
nb.as_table(
    [
        {"pictures a family": size.name, "families": size.families, "pictures": size.pictures}
        for size in by_size
    ]
)

# %% [markdown]
# ## Families
#
# The largest ones. The first picture of each row is kept: the one of most pixels. Below the others stands the cosine to it.

# %%
ids = [image_id for family in largest for image_id, _, _ in family.members]
found = bodies(records["download"], ids)
sheet = {
    f"family of {family.size}": [
        (found.get(image_id), "kept" if image_id == family.image_id else f"{near:.3f}")
        for image_id, _, near in family.members[:8]
    ]
    for family in largest
}
display(Image(contact_sheet(sheet), format="jpeg"))

# %% [markdown]
# ## How near is near?
#
# Each picture is reduced to its lowest frequencies, in a few views: whole, without its border, cropped, mirrored. The cosine of two
# pictures is the best over their views, so that a crop or a mirror image is still near. For pictures drawn by coin, the cosine to
# the *nearest* other one: what lies right of the line is merged. On a logarithmic axis, since most pictures have nobody near.

# %%
pictures = described(records["embed"], 10_000)
asking = nb.some_of(
    pd.DataFrame({"image_id": pictures.ids, "place": range(len(pictures.ids))}), 1_500, key="image_id"
).place
asking = asking.to_numpy(np.int64)
other, best = nearest(pictures, asking)
figure, axes = plt.subplots(figsize=(6.8, 3.0))
axes.hist(best, bins=np.linspace(min(0.9, best.min(initial=1)), 1, 61), color=colours[next(iter(colours))])
axes.axvline(threshold, color="#c8553d", linewidth=1.2)
axes.set(
    yscale="log",
    xlabel=f"cosine to the nearest other picture; the line: the threshold, {threshold}",
    ylabel="pictures",
)
plt.show()
display(Markdown(
    f"{int((best >= threshold).sum()):,} of {len(asking):,} pictures have another one at {threshold} or nearer, "
    f"among {len(pictures.ids):,} ({pictures.share:.0%} of all)."
))  # fmt: skip

# %% [markdown]
# The pictures that decide whether a threshold is right are those beside it. Each column is a picture and its nearest:

# %%
order = np.argsort(np.abs(best - threshold), kind="stable")
couples = {frozenset((asking[n], other[n])): n for n in order[::-1]}  # each couple once
order = sorted(couples.values(), key=lambda n: abs(best[n] - threshold))
above = [n for n in order if best[n] >= threshold][:8]
below = [n for n in order if best[n] < threshold][:8]
near_ids = [pictures.ids[i] for n in (*above, *below) for i in (asking[n], other[n])]
found = bodies(records["download"], near_ids)
sheet = {}
for name, chosen in (("nearest above the threshold: merged", above), ("nearest below: kept apart", below)):
    sheet[name] = [(found.get(pictures.ids[asking[n]]), f"{best[n]:.3f}") for n in chosen]
    sheet[f"{name.partition(':')[0]}, the other"] = [(found.get(pictures.ids[other[n]]), "") for n in chosen]
display(Image(contact_sheet(sheet), format="jpeg"))

# %% [markdown]
# ## What the descriptor forgives
#
# Pictures of the run, changed as mirror hosts change them (these are the transforms of the demo's web), and the cosine to the
# picture they were made from. A dot a picture:

# %%
chosen = nb.some_of(pd.DataFrame({"image_id": pictures.ids}), 24, key="image_id").image_id.tolist()
known = {
    key: image
    for key, body in bodies(records["download"], chosen).items()
    if (image := decoded(body)) is not None
}
chance = Chance(0)


def copy_of(image, transform, key):
    """Return a picture as a mirror host would have it."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return decode(near_duplicate(stream.getvalue(), transform, chance, key)).image


changed = {name: {} for name in TRANSFORMS}
for key, image in known.items():
    codes = builtin_codes(image)
    for name in TRANSFORMS:
        copy = copy_of(image, name, key)
        changed[name][key] = (cosine(codes, builtin_codes(copy)), copy)

# %%
figure, axes = plt.subplots(figsize=(6.8, 3.0))
for place, (name, each) in enumerate(changed.items()):
    values = [value for value, _ in each.values()]
    jitter = [chance.between(f"{name}/{key}", -0.15, 0.15) for key in each]
    axes.plot(place + np.array(jitter), values, ".", color=colours[next(iter(colours))], alpha=0.7)
axes.axhline(threshold, color="#c8553d", linewidth=1.2)
axes.set_xticks(range(len(changed)), list(changed))
axes.set(ylabel="cosine to the original")
plt.show()

# %% [markdown]
# Some of them, each picture with its copies. Those below the threshold would be kept as pictures of their own:

# %%
sheet = {
    f"picture {number}": [
        (image, "original"),
        *((each[key][1], f"{name} {each[key][0]:.3f}") for name, each in changed.items()),
    ]
    for number, (key, image) in enumerate(list(known.items())[:3], 1)
}
display(Image(contact_sheet(sheet), format="jpeg"))

# %% [markdown]
# ## Against the truth
#
# The demo drew its own web, so it knows which picture is a copy of which. Of the copies that were fetched together with their
# original: how many ended in its family? (Other runs have no such list, and skip this.)

# %%
truth_file = run.with_name(f"{run.name}-web") / "pictures.parquet"
if truth_file.is_file():
    truth = pd.read_parquet(truth_file, columns=["url", "copy_of", "transform"])
    image_of = fetched.set_index("url").image_id
    kept_of = groups.set_index("image_id").joined
    copies = truth.dropna(subset=["copy_of"]).assign(
        own=lambda table: table.url.map(image_of), original=lambda table: table.copy_of.map(image_of)
    )
    copies = copies.dropna(subset=["own", "original"])
    copies["same bytes"] = copies.own == copies.original
    copies["same family"] = copies.own.map(kept_of) == copies.original.map(kept_of)
    display(
        copies.groupby("transform")
        .agg(
            **{
                "copies fetched": ("url", "size"),
                "same bytes": ("same bytes", "sum"),
                "same family": ("same family", "sum"),
            }
        )
        .assign(**{"share found": lambda table: (table["same family"] / table["copies fetched"]).round(3)})
    )
else:
    print("This run's web was not drawn by the demo: there is no truth to compare with.")

# %% [markdown]
# The other mistake, pictures merged that are not copies of each other. The demo draws simple scenes, and some come out alike:

# %%
if truth_file.is_file():
    origin = truth.assign(root=truth.copy_of.fillna(truth.url), image_id=truth.url.map(image_of)).dropna(
        subset=["image_id"]
    )
    roots = origin.groupby("image_id").root.agg(set)
    merged = groups[~groups.survivor.astype(bool)]
    strangers = merged[
        [
            not roots.get(a, set()) & roots.get(b, set())
            for a, b in zip(merged.image_id, merged.joined, strict=True)
        ]
    ]
    display(
        Markdown(
            f"{len(strangers):,} of {len(merged):,} merged pictures were drawn apart from the one they joined."
        )
    )
    shown = nb.some_of(strangers, 8, key="image_id")
    found = bodies(records["download"], [*shown.image_id, *shown.joined])
    sheet = {
        "merged": [(found.get(row.image_id), f"{row.cosine:.3f}") for row in shown.itertuples()],
        "into": [(found.get(row.joined), "") for row in shown.itertuples()],
    }
    display(Image(contact_sheet(sheet), format="jpeg"))

# %% [markdown]
# ## Another threshold
#
# The search keeps all near pairs down to a floor, with their cosines, so that another threshold or rule needs no new search
# (`curate dedup --threshold 0.97`). Rule `mis`, in order of rank: a picture is kept unless it is near one that is kept already. So
# no two kept pictures are near, and each dropped one is near a kept one. `dominated` (SemDeDup) drops whatever is near a better one,
# even one that is dropped itself; `components` (DINOv2) keeps one of each chain of near pictures. Neither promises that:

# %%
if pictures.share == 1 and len(pictures.ids):
    search = records["neighbours"].notes["search"]
    edges = nb.drawn(
        records["neighbours"].path / "edges",
        ["image_id_b", "cosine", "agreement"],
        10_000_000,
        key="image_id_a",
    )
    if search["agreement_bound"] is not None:  # a second look at each pair
        edges = edges[edges.agreement >= search["agreement_bound"]]
    identical = nb.drawn(
        records["neighbours"].path / "identical", ["representative"], 10_000_000, key="image_id"
    )
    position = pd.Series(range(len(pictures.ids)), index=pictures.ids)
    ranks = rank(pictures.size.prod(axis=1))
    searched = np.arange(len(ranks))
    searched[position.reindex(identical.image_id)] = position.reindex(identical.representative)
    best = np.full(len(ranks), len(ranks))
    np.minimum.at(best, searched, ranks)
    same = np.argsort(ranks)[best[searched]]  # the best-ranked of each picture's identical ones
    rows = []
    for value in sorted({search["floor"], threshold, 0.97, 0.98, 0.99}):
        near = edges[edges.cosine >= value]
        ends = [
            same[position.reindex(near[name]).to_numpy(np.int64)] for name in ("image_id_a", "image_id_b")
        ]
        pairs = Pairs(np.minimum(*ends), np.maximum(*ends), near.cosine.to_numpy(float))
        again = {rule: group(ranks, same, pairs, rule).joined for rule in RULES}
        rows.append({
            "threshold": value,
            "near pairs": len(near),
            **{f"kept by {rule}": len(np.unique(joined)) for rule, joined in again.items()},
            "largest family": int(np.bincount(again["mis"]).max()),
        })  # fmt: skip
    display(nb.as_table(rows))

# %% [markdown]
# ## What the kept picture inherits
#
# A dropped picture's captions go to the picture it joined; equal ones collapse into one. In which languages the kept pictures speak,
# by their own captions and with those inherited:

# %%
columns = ["lang", "clean_text", "inherited", "pair_id"]
rows = nb.drawn(records["dedup"].path / "rows", columns, 200_000, key="image_id")
rows["inherited"] = rows.inherited.astype(bool)
own = rows[~rows.inherited].groupby("image_id").lang.agg(lambda each: " and ".join(sorted(set(each))))
with_inherited = rows.groupby("image_id").lang.agg(lambda each: " and ".join(sorted(set(each))))
own = own.reindex(with_inherited.index).fillna("none of its own")
display(pd.crosstab(own.rename("its own captions"), with_inherited.rename("with those inherited")))
display(Markdown(
    f"{int(rows.inherited.sum()):,} of {len(rows):,} rows are inherited; a kept picture has {len(rows) / max(1, len(own)):.2f} rows."
))  # fmt: skip

# %% [markdown]
# Pictures that gained a language, or else texts, by their copies:

# %%
gained = rows[rows.inherited].groupby("image_id").lang.size().rename("texts").reset_index()
gained["more"] = [own[key] != with_inherited[key] for key in gained.image_id]
chosen = nb.some_of(gained[gained.more] if gained.more.any() else gained, 6, key="image_id").image_id.tolist()
found = bodies(records["download"], chosen)
display(
    Image(
        contact_sheet({"kept": [(found.get(key), f"picture {n}") for n, key in enumerate(chosen, 1)]}),
        format="jpeg",
    )
)
nb.as_table([
    {
        "picture": n,
        "its own": " | ".join(each[~each.inherited].clean_text.unique()[:3]),
        "inherited": " | ".join(each[each.inherited].clean_text.unique()[:3]),
    }
    for n, key in enumerate(chosen, 1)
    for each in [rows[rows.image_id == key]]
])  # fmt: skip

# %% [markdown]
# Inherited captions are balanced like all others, by their own coin and chance (`03_balance`). The largest families of a run, with
# pictures and captions, are in `curate report`.
