"""Many Monte Carlo chains over the orderings of one supercell, advanced together.

Every chain makes the same kind of move at the same time, each on atoms of its own; so the cost of
Python is shared by all. The moves obey detailed balance exactly:

- heat bath: one atom is taken up and put down again among its own place and those of all partners
  of its group (the vacancies, or the ions of one other charge, with which it changes places), each
  with its Boltzmann weight (Creutz 1980). Nothing is rejected, and the energies of all places come
  from the potentials in one vector operation;
- columns: what stands on one connected set of mutually excluded sites (a column of face-sharing
  octahedra), or on the part of it that must move together, is exchanged with what stands on the
  image by an operation of the space group (geometric clusters, Dress and Krauth 1995; Metropolis on
  the energy). Single atoms cannot leave a full column, so without these the sampling would not be
  ergodic. Fillings that neither kind of move joins can be made up; in the crystals here, tests of
  the mixing have found none.

Elements of equal charge in one group are one kind of ion to the energy; which is which is drawn
once, at random, which is the exact distribution.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from halmd.structures.columns import (
    Columns,
    column_numbers,
    column_symmetry,
    find_columns,
    neighbour_lists,
)
from halmd.structures.lattice import (
    VACANCY,
    Floats,
    Indices,
    Lattice,
    Occupation,
    site_charges,
    total_energy_eV,
)
from halmd.structures.symmetry import SiteSymmetry

_BLOCK = 512
"""Moves for which random numbers are drawn at once."""

_COLUMN_SHARE = 0.1
"""Share of column moves where there are columns."""


@dataclass(frozen=True)
class IonClass:
    """Ions of one charge on one group of sites, or the group's vacancies (no species)."""

    members: Indices
    charge_e: float
    species: frozenset[str]
    number: int


@dataclass(frozen=True)
class Exchange:
    """One kind of heat-bath move: an atom of class A among the places of class B."""

    movers: slice
    partners: slice
    change_e: float
    """Charge of B less that of A: what the mover's site gains."""
    to_vacancy: bool


@dataclass
class Chains:
    """State of the chains: where each slot stands, potentials and blocked sites.

    A slot is an ion (or a vacancy) of known group and charge; a move permutes the slots' sites.
    """

    lattice: Lattice
    matrix_eV: Floats
    exchanges: tuple[Exchange, ...]
    columns: tuple[Columns, ...]
    column_symmetry: SiteSymmetry
    slot_charge_e: Floats
    slot_full: NDArray[np.int16]
    slot_species: Indices
    """Species in each slot, shape (n_chains, n_sites)."""
    site: Indices
    """Site of each slot, shape (n_chains, n_sites)."""
    slot: Indices
    """Slot on each site: the inverse."""
    potential_V: Floats
    blocked: NDArray[np.int16]
    """Number of filled excluded neighbours of each site, shape (n_chains, n_sites)."""
    half_gap_eV: Floats = field(init=False)
    """(A_ii + A_jj - 2 A_ij) / 2: self-interaction of a unit of charge carried from i to j."""
    column_of: Indices = field(init=False)
    excluded: NDArray[np.int16] = field(init=False)
    neighbours: Indices = field(init=False)
    """Excluded neighbours of each site, filled up with -1, shape (n_sites, most)."""

    def __post_init__(self) -> None:
        diagonal = np.diag(self.matrix_eV)
        self.half_gap_eV = (diagonal[:, None] + diagonal[None]) / 2 - self.matrix_eV
        self.column_of = column_numbers(self.lattice.excluded)
        self.excluded = self.lattice.excluded.astype(np.int16)
        self.neighbours = neighbour_lists(self.lattice.excluded)

    @classmethod
    def of(
        cls,
        lattice: Lattice,
        matrix_eV: Floats,
        occupations: Sequence[Occupation],
        frozen: Sequence[str] = (),
    ) -> "Chains":
        """Begin at occupations, one for each chain; `frozen` species stay where they are."""
        symmetry = column_symmetry(lattice)
        classes = ion_classes(lattice)
        numbers = [one.number for one in classes]
        site = np.array(
            [np.concatenate([_sites_of(one, lattice, o) for one in classes]) for o in occupations]
        )
        slot = np.empty_like(site)
        np.put_along_axis(slot, site, np.arange(site.shape[1])[None], axis=1)
        stacked = np.array(occupations)
        charges = np.array([site_charges(lattice, occupation) for occupation in occupations])
        filled = (stacked != VACANCY).astype(np.float64)
        return cls(
            lattice=lattice,
            matrix_eV=matrix_eV,
            exchanges=_exchanges(classes, frozen),
            columns=find_columns(lattice, symmetry, frozen),
            column_symmetry=symmetry,
            slot_charge_e=np.repeat([one.charge_e for one in classes], numbers),
            slot_full=np.repeat([bool(one.species) for one in classes], numbers).astype(np.int16),
            slot_species=np.take_along_axis(stacked, site, axis=1),
            site=site,
            slot=slot,
            # One product at a time: rounding then does not depend on how many chains there are.
            potential_V=np.array([one @ matrix_eV for one in charges]),
            blocked=np.rint(filled @ lattice.excluded.astype(np.float64)).astype(np.int16),
        )

    def occupations(self) -> Occupation:
        """What stands where, shape (n_chains, n_sites)."""
        result = np.empty_like(self.site)
        np.put_along_axis(result, self.site, self.slot_species, axis=1)
        return result

    def charges_e(self) -> Floats:
        """Charge of every site, shape (n_chains, n_sites)."""
        charges: Floats = self.slot_charge_e[self.slot]
        return charges

    def energies_eV(self) -> Floats:
        """Energies from the incrementally updated potentials, shape (n_chains,)."""
        energies: Floats = (self.charges_e() * self.potential_V).sum(axis=1) / 2
        return energies

    def run(
        self, beta_per_eV: Floats, rngs: Sequence[np.random.Generator], kinds: np.random.Generator
    ) -> None:
        """Make one move of every chain for each inverse temperature of `beta_per_eV` (n_moves,).

        `rngs` has a generator for each chain, of which three numbers are used per move, so that a
        chain runs the same whatever runs beside it; `kinds` decides the kinds of move.
        """
        sizes = [float(e.movers.stop - e.movers.start) for e in self.exchanges]
        on_columns = sum(len(c.sites) for c in self.columns)
        weights = np.array(sizes + [float(len(c.sites)) for c in self.columns])
        if not len(weights):
            return
        if on_columns and sizes:
            weights[: len(sizes)] *= (1 - _COLUMN_SHARE) / sum(sizes)
            weights[len(sizes) :] *= _COLUMN_SHARE / on_columns
        edges = np.cumsum(weights / weights.sum())
        for first in range(0, len(beta_per_eV), _BLOCK):
            betas = beta_per_eV[first : first + _BLOCK]
            moves = np.searchsorted(edges[:-1], kinds.random(len(betas)), side="right")
            numbers = np.array([rng.random((len(betas), 3)) for rng in rngs]).transpose(1, 2, 0)
            for move, beta, u in zip(moves.tolist(), betas.tolist(), numbers, strict=True):
                if move < len(sizes):
                    self._heat_bath(self.exchanges[move], beta, u)
                else:
                    self._turn_columns(self.columns[move - len(sizes)], beta, u)

    def _heat_bath(self, kind: Exchange, beta: float, u: Floats) -> None:
        """Put one atom of class A on a place drawn among its own and those of class B."""
        n = self.site.shape[1]
        chain = np.arange(len(self.site))
        d = kind.change_e
        mover = kind.movers.start + (u[0] * (kind.movers.stop - kind.movers.start)).astype(int)
        i = self.site[chain, mover]
        places = self.site[:, kind.partners]
        row = (chain * n)[:, None]
        cost = self.half_gap_eV.take(places + (i * n)[:, None])
        cost *= d * d
        cost -= d * self.potential_V.take(places + row)
        cost += d * self.potential_V[chain, i][:, None]
        cost *= beta
        if kind.to_vacancy:
            hidden = self.blocked.take(places + row) != self.excluded.take(
                places + (i * n)[:, None]
            )
            cost[hidden] = np.inf
        least = np.minimum(cost.min(axis=1), 0.0)
        weight = np.exp(least[:, None] - cost)
        summed = np.cumsum(weight, axis=1)
        drawn = u[1] * (summed[:, -1] + np.exp(least))
        choice = (summed <= drawn[:, None]).sum(axis=1)
        moved = choice < places.shape[1]
        if not moved.any():
            return
        if not moved.all():
            chain, choice, i, mover = chain[moved], choice[moved], i[moved], mover[moved]
        partner = kind.partners.start + choice
        j = self.site[chain, partner]
        self.site[chain, mover], self.site[chain, partner] = j, i
        self.slot[chain, j], self.slot[chain, i] = mover, partner
        gain = self.matrix_eV[i] - self.matrix_eV[j]
        gain *= d
        if len(chain) == len(self.site):
            self.potential_V += gain
        else:
            self.potential_V[chain] += gain
        if kind.to_vacancy:
            self.blocked[chain] += self.excluded[j] - self.excluded[i]

    def _turn_columns(self, columns: Columns, beta: float, u: Floats) -> None:
        """Exchange parts of a column with its image by a symmetry operation, or turn it whole."""
        source = columns.sites[(u[0] * len(columns.sites)).astype(int)]
        point, shift = np.divmod(
            (u[1] * self.column_symmetry.n_operations).astype(int),
            len(self.column_symmetry.translations),
        )
        target = self._moved(point, shift, source)
        apart = self.column_of[source[:, 0]] != self.column_of[target[:, 0]]
        chain = np.flatnonzero(apart)
        if len(chain):
            two = np.concatenate([source[chain], target[chain]], axis=1)
            image = np.concatenate([target[chain], source[chain]], axis=1)
            self._turn(chain, two, image, beta, u[2, chain])
        chain = np.flatnonzero(~apart)
        if len(chain):
            self._turn(chain, source[chain], target[chain], beta, u[2, chain])

    def _moved(self, point: Indices, shift: Indices, sites: Indices) -> Indices:
        moved: Indices = self.column_symmetry.translations[
            shift[:, None], self.column_symmetry.points[point[:, None], sites]
        ]
        return moved

    def _turn(
        self, chain: Indices, places: Indices, image: Indices, beta: float, drawn: Floats
    ) -> None:
        """Carry what stands on `places` to `image` (a permutation of them), shape (k, m), or part.

        Where the permutation is its own inverse, only a cluster is carried: a place drawn, its
        image, and whatever would clash with what has been carried (Dress and Krauth 1995). One
        random number each decides the place and, by what is left of it, the acceptance.
        """
        rows = np.arange(len(chain))[:, None]
        goes_to = np.tile(np.arange(self.site.shape[1]), (len(chain), 1))
        goes_to[rows, places] = image
        first, drawn = np.divmod(drawn * places.shape[1], 1.0)
        own_inverse = (goes_to[rows, image] == places).all(axis=1)
        carried = self._cluster(
            chain, goes_to, np.take_along_axis(places, first.astype(int)[:, None], axis=1)[:, 0]
        )
        carried[rows[~own_inverse], places[~own_inverse]] = True

        slots = self.slot[chain[:, None], places]
        replaced = self.slot[chain[:, None], image]
        moves = carried[rows, places]
        change = np.where(moves, self.slot_charge_e[slots] - self.slot_charge_e[replaced], 0.0)
        filling = np.where(moves, self.slot_full[slots] - self.slot_full[replaced], 0)
        # Most places keep what they hold; only the others cost anything.
        same = (change == 0) & (filling == 0)
        most = max(1, int((~same).sum(axis=1).max()))
        changed = np.argsort(same, axis=1, kind="stable")[:, :most]
        here = np.take_along_axis(image, changed, axis=1)
        change = np.take_along_axis(change, changed, axis=1)
        filling = np.take_along_axis(filling, changed, axis=1)
        pairs = self.matrix_eV[here[:, :, None], here[:, None, :]]
        cost = (change * self.potential_V[chain[:, None], here]).sum(axis=1)
        cost += np.einsum("ki,kij,kj->k", change, pairs, change) / 2

        taken = np.flatnonzero(drawn < np.exp(-np.maximum(beta * cost, 0.0)))
        if not len(taken):
            return
        who, here = chain[taken], here[taken]
        self.potential_V[who] += np.einsum("ki,kin->kn", change[taken], self.matrix_eV[here])
        self.blocked[who] += np.einsum("ki,kin->kn", filling[taken], self.excluded[here])
        to = np.where(moves, image, places)[taken]
        self.site[who[:, None], slots[taken]] = to
        self.slot[who[:, None], to] = slots[taken]

    def _cluster(self, chain: Indices, goes_to: Indices, first: Indices) -> NDArray[np.bool_]:
        """Sites carried along when site `first` (k,) and its image change places, shape (k, n).

        `goes_to` (k, n) says where each site is carried, its own inverse.
        """
        rows = np.arange(len(chain))
        full = self.slot_full[self.slot[chain]] > 0
        carried = np.zeros(full.shape, dtype=bool)
        carried[rows, first] = carried[rows, goes_to[rows, first]] = True
        k, site = np.nonzero(carried & full)
        while len(k):
            clash = self.neighbours[goes_to[k, site]]
            k, where = np.broadcast_to(k[:, None], clash.shape)[clash >= 0], clash[clash >= 0]
            new = full[k, where] & ~carried[k, where]
            k, where = k[new], where[new]
            partner = goes_to[k, where]
            carried[k, where] = carried[k, partner] = True
            k, site = np.concatenate([k, k]), np.concatenate([where, partner])
            k, site = k[full[k, site]], site[full[k, site]]
        return carried

    def total_energies_eV(self) -> list[float]:
        """Energies summed afresh, free of the rounding of thousands of updates."""
        return [total_energy_eV(self.lattice, self.matrix_eV, o) for o in self.occupations()]


def ion_classes(lattice: Lattice) -> list[IonClass]:
    """The kinds of ion on each group, vacancies last, that the energy tells apart."""
    found = []
    charge_of = dict(zip(lattice.species, lattice.charges_e.tolist(), strict=True))
    for group in dict.fromkeys(lattice.groups):
        members = lattice.members(group)
        content = {e: n for e, n in lattice.contents.get(group, {}).items() if n}
        for charge in sorted({charge_of[element] for element in content}):
            alike = frozenset(element for element in content if charge_of[element] == charge)
            number = sum(content[element] for element in alike)
            found.append(IonClass(members, charge, alike, number))
        empty = len(members) - sum(content.values())
        if empty:
            found.append(IonClass(members, 0.0, frozenset(), empty))
    return found


def _exchanges(classes: Sequence[IonClass], frozen: Sequence[str]) -> tuple[Exchange, ...]:
    """Heat-bath moves between the classes of one group; of two ions, the rarer one moves."""
    ends = np.cumsum([one.number for one in classes]).tolist()
    slots = [slice(end - one.number, end) for one, end in zip(classes, ends, strict=True)]
    found = []
    for (a, first), (b, second) in itertools.combinations(zip(slots, classes, strict=True), 2):
        if first.members[0] != second.members[0]:
            continue
        if not first.species.isdisjoint(frozen) or not second.species.isdisjoint(frozen):
            continue
        change = second.charge_e - first.charge_e
        if second.species and second.number < first.number:
            found.append(Exchange(b, a, -change, to_vacancy=False))
        else:
            found.append(Exchange(a, b, change, to_vacancy=not second.species))
    return tuple(found)


def _sites_of(one: IonClass, lattice: Lattice, occupation: Occupation) -> Indices:
    """Sites on which ions of a class stand, in order."""
    numbers = [lattice.species.index(element) for element in one.species] or [VACANCY]
    return one.members[np.isin(occupation[one.members], numbers)]
