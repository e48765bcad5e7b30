"""How many different things the lessons really say: lessons that match the same trades.

Lessons can share trades only inside one (pattern, category) group, so clustering runs group by
group. Two lessons are alike when they match the same trades beyond chance (phi) and one holds
much of the other (containment): Jaccard alone splits children from parents, containment alone
glues everything to a big parent.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.cluster import hierarchy
from scipy.spatial import distance

from learning.evidence.compiled import compiled
from learning.evidence.trade_events import GroupKey

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
BitArray = npt.NDArray[np.uint64]

MIN_SIMILARITY = 0.3
"""Average linkage stops merging below this similarity."""

MIN_SIMILARITY_TO_LEAD = 0.1
"""Below, a lesson has next to nothing to do with a lead."""

NESTED_SHARE = 0.95
"""Of the smaller of two lessons, from which on it is part of the larger."""
MOST_MAPPED = 150
_NO_SPREAD = 1e-9
_TILE = 32  # lessons; two tiles of 40 000 trades are 320 kB


@dataclass(frozen=True, slots=True, eq=False)
class GroupLessons:
    """The lessons of one (pattern_key, action_category) and the trades each of them matches.

    Attributes:
        group: Pattern key and action category.
        lesson_ids: The L lessons.
        matched: Shape (L, N), which of the group's N trades each lesson matches. Where the
            categories of one position are linked, columns are positions instead.
        strengths: Shape (L,), how strong each lesson is; breaks ties for the representative.
        leads: Positions of lessons that may stand for factors of their own (the stepwise ones
            of a dense lattice), foremost first; absent clusters by linkage.
        directions: Shape (L,), +1 for winning lessons, -1 for losing ones: opposite ones never
            share a factor, whose levers would cancel. Absent compares by trades alone.
    """

    group: GroupKey
    lesson_ids: tuple[int, ...]
    matched: BoolArray
    strengths: FloatArray
    leads: tuple[int, ...] | None = None
    directions: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.lesson_ids)
        if self.matched.ndim != 2 or len(self.matched) != count:
            raise ValueError(f"matched must have shape ({count}, N), got {self.matched.shape}")
        for name in ("strengths", "directions"):
            values = getattr(self, name)
            if values is not None and values.shape != (count,):
                raise ValueError(f"{name} must have shape ({count},), got {values.shape}")
        for lead in self.leads or ():
            if not 0 <= lead < count:
                raise ValueError(f"leads must lie in 0..{count - 1}, got {lead}")

    def likeness(self) -> Likeness:
        """How alike the lessons are; opposite directions are nothing alike."""
        return Likeness.of(self.matched, directions=self.directions)


@dataclass(frozen=True, slots=True, eq=False)
class LatentFactor:
    """Lessons that are one lesson.

    Attributes:
        factor_id: Readable and the same from run to run, ``lf_…``.
        group: Pattern key and action category.
        lesson_ids: The members, in the order of the dendrogram: alike stands beside alike.
        representative_id: The lead, else the member most similar to all others.
        similarity: Shape (members, members), in the order of ``lesson_ids``, diagonal 1.
        shared_trade_share: Share of the factor's trades that at least two members match.
    """

    factor_id: str
    group: GroupKey
    lesson_ids: tuple[int, ...]
    representative_id: int
    similarity: FloatArray = field(repr=False)
    shared_trade_share: float

    @property
    def effective_lessons(self) -> float:
        """How many different lessons the members amount to: 1 for copies, m for strangers."""
        return float(np.trace(self.similarity) ** 2 / np.sum(self.similarity**2))


@dataclass(frozen=True, slots=True, eq=False)
class LessonMap:
    """How alike the lessons of one group are, for the eye.

    Attributes:
        group: Pattern key and action category.
        n_lessons: Lessons of the group; the map holds the strongest of them.
        lesson_ids: The L lessons shown, in dendrogram order.
        similarity: Shape (L, L), in that order.
        shared_trades: Shape (L, L), trades in common; the diagonal is each lesson's own.
        places: Shape (L, 2), where each stands on the map.
        kept_share: Share of all spread that two axes keep; absent where there is no spread.
    """

    group: GroupKey
    n_lessons: int
    lesson_ids: tuple[int, ...]
    similarity: FloatArray = field(repr=False)
    shared_trades: IntArray = field(repr=False)
    places: FloatArray = field(repr=False)
    kept_share: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """How alike lessons are by the trades they match, measured for the pairs that are asked.

    ``sqrt(max(phi, 0) * containment)``, with ``phi`` the correlation of the two indicators and
    ``containment`` the shared trades over the smaller lesson: in [0, 1], 1 with itself; 0 for a
    lesson that matches none or all of the trades, as nothing correlates with it, and between
    opposite directions. Takes N / 64 word operations a pair.

    Attributes:
        bits: Shape (L, N / 64), packed trades of each lesson.
        n: Shape (L,), trades that each lesson matches.
        n_trades: Trades of the group, N.
        directions: Shape (L,); lessons of different ones are nothing alike.
    """

    bits: BitArray
    n: IntArray
    n_trades: int
    directions: FloatArray

    @classmethod
    def of(cls, matched: BoolArray, *, directions: FloatArray | None = None) -> Likeness:
        """Pack the trades of lessons, shape (L, N).

        Examples:
            Ten trades; a matches 4 of them, b two of those: phi = 0.6124, containment 1.

            >>> a = np.arange(10) < 4
            >>> b = np.arange(10) < 2
            >>> alike = Likeness.of(np.array([a, b]))
            >>> alike.among(np.arange(2)).round(4).tolist()
            [[1.0, 0.7825], [0.7825, 1.0]]
        """
        return cls(
            bits=_packed(matched),
            n=matched.sum(axis=1, dtype=np.int64),
            n_trades=matched.shape[1],
            directions=np.zeros(len(matched)) if directions is None else directions,
        )

    @property
    def n_lessons(self) -> int:
        """Number of lessons, L."""
        return len(self.bits)

    def take(self, chosen: IntArray) -> Likeness:
        """Return the chosen lessons."""
        return replace(
            self, bits=self.bits[chosen], n=self.n[chosen], directions=self.directions[chosen]
        )

    def pairs(self) -> FloatArray:
        """Shape (L (L - 1) / 2,): each pair once, in the order of scipy's condensed distances."""
        return _similarity_of_pairs(self.bits, self.n, self.n_trades, self.directions)

    def among(self, chosen: IntArray) -> FloatArray:
        """Shape (C, C): the chosen lessons with each other."""
        if len(chosen) < 2:
            return np.ones((len(chosen), len(chosen)))
        square: FloatArray = distance.squareform(self.take(chosen).pairs())
        np.fill_diagonal(square, 1.0)
        return square

    def to(self, others: Sequence[int]) -> FloatArray:
        """Shape (L, O): all lessons with the others."""
        columns = np.array(others, dtype=np.int64)
        return _similarity_to(self.bits, self.n, self.n_trades, self.directions, columns)

    def shared_trades(self) -> IntArray:
        """Shape (L, L): trades in common; the diagonal is each lesson's own."""
        return _shared_trades(self.bits)


def linkage_labels(alike: Likeness, *, min_similarity: float = MIN_SIMILARITY) -> IntArray:
    """Cluster by average linkage on 1 - similarity.

    Needs 8 L^2 bytes at its height: half for each pair's distance, half for scipy's copy.

    Args:
        alike: The L lessons.
        min_similarity: Clusters whose mean similarity is below stay apart.

    Returns:
        Shape (L,), cluster of each lesson, numbered from 0 by first appearance.
    """
    if alike.n_lessons < 2:
        return np.zeros(alike.n_lessons, dtype=np.int64)
    tree = hierarchy.fcluster(_tree(alike.pairs()), 1 - min_similarity, criterion="distance")
    return _by_first_appearance(tree)


def lead_labels(alike: Likeness, leads: Sequence[int]) -> IntArray:
    """Give every lesson to the lead it is most similar to.

    For dense lattices of unpruned findings, where linkage chains: adjusted Rand index 0.72
    against 0.56. A lesson similar to no lead at all stays alone.

    Args:
        alike: The L lessons.
        leads: Positions of the leads.

    Returns:
        Shape (L,), cluster of each lesson, numbered from 0 by first appearance.
    """
    return _by_first_appearance(_owners(alike.to(leads), leads))


def distinct_leads(alike: Likeness, candidates: Sequence[int]) -> tuple[int, ...]:
    """Keep of the candidates, foremost first, those that are not nested with one kept before.

    A parent and its child may both be stepwise lessons; as two factors they would count the
    effect of the parent twice. Effects that overlap only in part stay two, and so do opposite
    ones.

    Args:
        alike: The L lessons.
        candidates: Positions of the candidates.

    Examples:
        A parent, its child, and a lesson that shares half of the parent's trades:

        >>> trades = np.arange(100)
        >>> matched = np.array([trades < 20, trades < 15, (trades >= 10) & (trades < 30)])
        >>> distinct_leads(Likeness.of(matched), [1, 0, 2])
        (1, 2)
    """
    chosen = np.array(candidates, dtype=np.int64)
    similarity = alike.among(chosen)
    shared = alike.take(chosen).shared_trades()
    smaller = np.minimum.outer(alike.n[chosen], alike.n[chosen])
    nested = (similarity > 0) & (shared >= NESTED_SHARE * smaller)
    kept: list[int] = []
    for at in range(len(chosen)):
        if not nested[at, kept].any():
            kept.append(at)
    return tuple(candidates[at] for at in kept)


def lattice_labels(alike: Likeness, leads: Sequence[int]) -> IntArray:
    """Cluster a dense lattice round its leads; what is unlike all of them, by linkage.

    Args:
        alike: The L lessons.
        leads: Positions of distinct leads, at least one.

    Returns:
        Shape (L,), cluster of each lesson, numbered from 0 by first appearance.
    """
    to_leads = alike.to(leads)
    labels = _owners(to_leads, leads)
    far = np.flatnonzero(to_leads.max(axis=1) < MIN_SIMILARITY_TO_LEAD)
    labels[far] = alike.n_lessons + linkage_labels(alike.take(far))
    return _by_first_appearance(labels)


def _owners(to_leads: FloatArray, leads: Sequence[int]) -> IntArray:
    """The lead that each lesson is most like; itself where it is like none, or a lead."""
    owner = np.arange(len(to_leads))
    if not leads:
        return owner
    near = to_leads.max(axis=1) > 0
    owner[near] = np.asarray(leads)[np.argmax(to_leads[near], axis=1)]
    owner[list(leads)] = list(leads)
    return owner


def latent_factors(
    groups: Sequence[GroupLessons], *, previous: Mapping[str, frozenset[int]]
) -> list[LatentFactor]:
    """Cluster the lessons of all groups into factors with lasting names.

    Args:
        groups: Lessons by group; a lesson appears once.
        previous: Members of each factor of the run before, by factor id; retired ids belong in
            here too (with no members) if they must not be given again.

    Returns:
        One factor per cluster, single lessons included, ordered by id. A cluster inherits the
        previous id with which it shares most members; the rest get the next free number.
    """
    drafts = [draft for group in groups for draft in _group_factors(group)]
    names = _lasting_names(drafts, previous)
    factors = [
        LatentFactor(
            factor_id=name,
            group=draft.group,
            lesson_ids=draft.lesson_ids,
            representative_id=draft.representative_id,
            similarity=draft.similarity,
            shared_trade_share=draft.shared_trade_share,
        )
        for name, draft in zip(names, drafts, strict=True)
    ]
    return sorted(factors, key=lambda factor: factor.factor_id)


def lesson_map(group: GroupLessons, *, most: int = MOST_MAPPED) -> LessonMap:
    """Order the lessons of a group so that alike stands beside alike, and place them on a map.

    Args:
        group: Lessons of one (pattern_key, action_category).
        most: With more lessons than that, the strongest are shown: nobody reads more.

    Returns:
        Similarities in dendrogram order and coordinates by classical scaling.
    """
    chosen = np.sort(np.argsort(-group.strengths, kind="stable")[:most])
    shown = replace(
        group,
        lesson_ids=tuple(group.lesson_ids[i] for i in chosen),
        matched=group.matched[chosen],
        strengths=group.strengths[chosen],
        leads=None,
        directions=None if group.directions is None else group.directions[chosen],
    )
    similarity = shown.likeness().among(np.arange(len(chosen)))
    order = _dendrogram_order(similarity)
    similarity = similarity[np.ix_(order, order)]
    places, kept_share = classical_places(similarity)
    return LessonMap(
        group=group.group,
        n_lessons=len(group.lesson_ids),
        lesson_ids=tuple(shown.lesson_ids[i] for i in order),
        similarity=similarity,
        shared_trades=Likeness.of(shown.matched[order]).shared_trades(),
        places=places,
        kept_share=kept_share,
    )


def classical_places(similarity: FloatArray) -> tuple[FloatArray, float | None]:
    """Place lessons in a plane so that distances stand for ``sqrt(1 - similarity)``.

    Classical scaling (Torgerson 1952; Gower 1966): the two leading axes of the doubly centred
    squared distances. Axes are turned so that the outermost lesson of each has a positive sign.

    Args:
        similarity: Shape (L, L), symmetric, diagonal 1.

    Returns:
        Shape (L, 2), and the share of the positive spread that the two axes keep; absent where
        all lessons are alike.

    Examples:
        Two strangers stand 1 apart, and one axis says it all.

        >>> places, kept = classical_places(np.eye(2))
        >>> np.abs(places).round(3).tolist(), kept
        ([[0.5, 0.0], [0.5, 0.0]], 1.0)
    """
    count = len(similarity)
    centre = np.eye(count) - 1 / max(count, 1)
    spread, axes = np.linalg.eigh(centre @ similarity @ centre / 2)
    spread, axes = spread[::-1], axes[:, ::-1]
    positive = np.where(spread > _NO_SPREAD, spread, 0.0)
    places = np.zeros((count, 2))
    places[:, : min(count, 2)] = (axes * np.sqrt(positive))[:, :2]
    outermost = places[np.argmax(np.abs(places).round(9), axis=0), [0, 1]] if count else np.ones(2)
    places *= np.where(outermost < 0, -1.0, 1.0)
    total = float(positive.sum())
    return places, float(positive[:2].sum()) / total if total > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """A factor that has no name yet."""

    group: GroupKey
    lesson_ids: tuple[int, ...]
    representative_id: int
    similarity: FloatArray
    shared_trade_share: float


def _group_factors(group: GroupLessons) -> Iterator[_Draft]:
    alike = group.likeness()
    leads = distinct_leads(alike, group.leads or ())
    labels = lattice_labels(alike, leads) if leads else linkage_labels(alike)
    for label in range(int(labels.max(initial=-1)) + 1):
        members = np.flatnonzero(labels == label)
        inner = alike.among(members)
        order = _dendrogram_order(inner)
        members, inner = members[order], inner[np.ix_(order, order)]
        yield _Draft(
            group=group.group,
            lesson_ids=tuple(group.lesson_ids[i] for i in members),
            representative_id=group.lesson_ids[_representative(group, leads, inner, members)],
            similarity=inner,
            shared_trade_share=_shared_trade_share(group.matched[members]),
        )


def _representative(
    group: GroupLessons, leads: Sequence[int], similarity: FloatArray, members: IntArray
) -> int:
    """The lead if there is one; else the member nearest to all; then the stronger, the older."""
    closeness = similarity.mean(axis=1).round(12)
    ranked = sorted(
        range(len(members)),
        key=lambda i: (
            members[i] not in leads,
            -closeness[i],
            -group.strengths[members[i]],
            group.lesson_ids[members[i]],
        ),
    )
    return int(members[ranked[0]])


def _lasting_names(drafts: Sequence[_Draft], previous: Mapping[str, frozenset[int]]) -> list[str]:
    """Inherit ids by shared members, most first; number the others after all known ids."""
    names = _inherited_names(drafts, previous)
    last_number = _last_numbers(previous)
    for at, draft in enumerate(drafts):
        if at not in names:
            stem = _stem(draft.group)
            last_number[stem] += 1
            names[at] = f"{stem}_{last_number[stem]}"
    return [names[at] for at in range(len(drafts))]


def _inherited_names(
    drafts: Sequence[_Draft], previous: Mapping[str, frozenset[int]]
) -> dict[int, str]:
    """Position of a draft -> the old id it keeps; each id goes to one draft."""
    old_names: dict[int, list[str]] = defaultdict(list)
    for name, members in previous.items():
        for lesson_id in members:
            old_names[lesson_id].append(name)
    shared = Counter(
        (at, name)
        for at, draft in enumerate(drafts)
        for lesson_id in draft.lesson_ids
        for name in old_names[lesson_id]
    )
    names: dict[int, str] = {}
    given: set[str] = set()
    for (at, name), _ in sorted(shared.items(), key=lambda item: (-item[1], item[0][1], item[0])):
        if at not in names and name not in given:
            names[at] = name
            given.add(name)
    return names


def _last_numbers(names: Iterable[str]) -> Counter[str]:
    """Highest number used so far for each stem."""
    last: Counter[str] = Counter()
    for name in names:
        stem, _, number = name.rpartition("_")
        if number.isdigit():
            last[stem] = max(last[stem], int(number))
    return last


def _stem(group: GroupKey) -> str:
    """lf_<pattern>_<category>, in lower case."""
    return "lf_" + re.sub(r"[^a-z0-9]+", "_", "_".join(group).lower()).strip("_")


@compiled
def _in_common(first: npt.NDArray[np.uint64], second: npt.NDArray[np.uint64]) -> int:
    """Bits set in both (Warren, Hacker's Delight, 5-1); compilers know it for one instruction."""
    total = np.uint64(0)
    for word in range(len(first)):
        x = first[word] & second[word]
        x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
        x = (x & np.uint64(0x3333333333333333)) + (
            (x >> np.uint64(2)) & np.uint64(0x3333333333333333)
        )
        x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
        total += (x * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return int(total)


@compiled
def _similarity(shared: int, first: int, second: int, n_trades: int) -> float:
    """Similarity of two lessons with so many trades each and shared."""
    spread = math.sqrt(first * (n_trades - first)) * math.sqrt(second * (n_trades - second))
    if shared == 0 or spread == 0.0:
        return 0.0
    phi = (n_trades * shared - first * second) / spread
    return math.sqrt(min(max(phi, 0.0), 1.0) * (shared / min(first, second)))


@compiled
def _similarity_of_pairs(
    bits: BitArray, n: IntArray, n_trades: int, directions: FloatArray
) -> FloatArray:
    """Pairs in condensed order, tile by tile, so that the words of a tile stay in the cache."""
    count = len(bits)
    similarity = np.zeros(count * (count - 1) // 2)
    for top in range(0, count, _TILE):
        for left in range(top, count, _TILE):
            for i in range(top, min(top + _TILE, count)):
                row = count * i - i * (i + 1) // 2 - i - 1
                for j in range(max(left, i + 1), min(left + _TILE, count)):
                    if directions[i] == directions[j]:
                        shared = _in_common(bits[i], bits[j])
                        similarity[row + j] = _similarity(shared, n[i], n[j], n_trades)
    return similarity


@compiled
def _similarity_to(
    bits: BitArray, n: IntArray, n_trades: int, directions: FloatArray, columns: IntArray
) -> FloatArray:
    similarity = np.zeros((len(bits), len(columns)))
    for i in range(len(bits)):
        for at in range(len(columns)):
            j = columns[at]
            if i == j:
                similarity[i, at] = 1.0
            elif directions[i] == directions[j]:
                shared = _in_common(bits[i], bits[j])
                similarity[i, at] = _similarity(shared, n[i], n[j], n_trades)
    return similarity


@compiled
def _shared_trades(bits: BitArray) -> IntArray:
    shared = np.empty((len(bits), len(bits)), np.int64)
    for i in range(len(bits)):
        for j in range(len(bits)):
            shared[i, j] = _in_common(bits[i], bits[j])
    return shared


def _packed(matched: BoolArray) -> BitArray:
    """64 trades a word; the tail is padded with zeros."""
    octets = np.packbits(matched, axis=1)
    padded = np.zeros((len(octets), -(-octets.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : octets.shape[1]] = octets
    return padded.view(np.uint64)


def _tree(similarity: FloatArray) -> FloatArray:
    """Average linkage of pairs in condensed order; overwrites them with their distances."""
    np.subtract(1.0, similarity, out=similarity)
    tree: FloatArray = hierarchy.linkage(similarity, method="average")
    return tree


def _dendrogram_order(similarity: FloatArray) -> IntArray:
    if len(similarity) < 3:
        return np.arange(len(similarity))
    # symmetric to the last digit by construction, so the checks would only cost time
    tree = _tree(distance.squareform(similarity, checks=False))
    return np.asarray(hierarchy.leaves_list(tree), dtype=np.int64)


def _by_first_appearance(labels: npt.NDArray[np.integer]) -> IntArray:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _shared_trade_share(matched: BoolArray) -> float:
    times = matched.sum(axis=0)
    union = int((times > 0).sum())
    return float((times > 1).sum()) / union if union else 0.0
