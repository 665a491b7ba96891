"""JetClass (ROOT: trees or RNTuples) and JetClass-II (Parquet): simulated jets with full particle information.

The files' own `part_deta` is mirrored, Δη · sign(η_jet); the field `particle.deta` is Δη as defined here, computed from
the momenta.

Sources: H. Qu, C. Li, S. Qian, arXiv 2202.03772 (JetClass) and arXiv 2405.12972 (JetClass-II).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from lpm.data.batch import Batch
from lpm.data.constituents import jets_batch
from lpm.data.fields import JETCLASS, jets_schema
from lpm.data.io.base import OnBad, Reader
from lpm.data.io.parquet import is_parquet, open_parquet
from lpm.data.io.root import Column, RootReader, counts, pick
from lpm.data.schema import Schema

__all__ = ["JETCLASS2", "JetClass2Reader", "JetClassReader"]

_DECAYS = """
X_bb X_cc X_ss X_qq X_bc X_cs X_bq X_cq X_sq X_gg X_ee X_mm X_tauhtaue X_tauhtaum X_tauhtauh X_YY_bbbb X_YY_bbcc
X_YY_bbss X_YY_bbqq X_YY_bbgg X_YY_bbee X_YY_bbmm X_YY_bbtauhtaue X_YY_bbtauhtaum X_YY_bbtauhtauh X_YY_bbb X_YY_bbc
X_YY_bbs X_YY_bbq X_YY_bbg X_YY_bbe X_YY_bbm X_YY_cccc X_YY_ccss X_YY_ccqq X_YY_ccgg X_YY_ccee X_YY_ccmm
X_YY_cctauhtaue X_YY_cctauhtaum X_YY_cctauhtauh X_YY_ccb X_YY_ccc X_YY_ccs X_YY_ccq X_YY_ccg X_YY_cce X_YY_ccm
X_YY_ssss X_YY_ssqq X_YY_ssgg X_YY_ssee X_YY_ssmm X_YY_sstauhtaue X_YY_sstauhtaum X_YY_sstauhtauh X_YY_ssb X_YY_ssc
X_YY_sss X_YY_ssq X_YY_ssg X_YY_sse X_YY_ssm X_YY_qqqq X_YY_qqgg X_YY_qqee X_YY_qqmm X_YY_qqtauhtaue X_YY_qqtauhtaum
X_YY_qqtauhtauh X_YY_qqb X_YY_qqc X_YY_qqs X_YY_qqq X_YY_qqg X_YY_qqe X_YY_qqm X_YY_gggg X_YY_ggee X_YY_ggmm
X_YY_ggtauhtaue X_YY_ggtauhtaum X_YY_ggtauhtauh X_YY_ggb X_YY_ggc X_YY_ggs X_YY_ggq X_YY_ggg X_YY_gge X_YY_ggm
X_YY_bee X_YY_cee X_YY_see X_YY_qee X_YY_gee X_YY_bmm X_YY_cmm X_YY_smm X_YY_qmm X_YY_gmm X_YY_btauhtaue
X_YY_ctauhtaue X_YY_stauhtaue X_YY_qtauhtaue X_YY_gtauhtaue X_YY_btauhtaum X_YY_ctauhtaum X_YY_stauhtaum
X_YY_qtauhtaum X_YY_gtauhtaum X_YY_btauhtauh X_YY_ctauhtauh X_YY_stauhtauh X_YY_qtauhtauh X_YY_gtauhtauh X_YY_qqqb
X_YY_qqqc X_YY_qqqs X_YY_bbcq X_YY_ccbs X_YY_ccbq X_YY_ccsq X_YY_sscq X_YY_qqbc X_YY_qqbs X_YY_qqcs X_YY_bcsq
X_YY_bcs X_YY_bcq X_YY_bsq X_YY_csq X_YY_bcev X_YY_csev X_YY_bqev X_YY_cqev X_YY_sqev X_YY_qqev X_YY_bcmv X_YY_csmv
X_YY_bqmv X_YY_cqmv X_YY_sqmv X_YY_qqmv X_YY_bctauev X_YY_cstauev X_YY_bqtauev X_YY_cqtauev X_YY_sqtauev
X_YY_qqtauev X_YY_bctaumv X_YY_cstaumv X_YY_bqtaumv X_YY_cqtaumv X_YY_sqtaumv X_YY_qqtaumv X_YY_bctauhv X_YY_cstauhv
X_YY_bqtauhv X_YY_cqtauhv X_YY_sqtauhv X_YY_qqtauhv QCD_bbccss QCD_bbccs QCD_bbcc QCD_bbcss QCD_bbcs QCD_bbc
QCD_bbss QCD_bbs QCD_bb QCD_bccss QCD_bccs QCD_bcc QCD_bcss QCD_bcs QCD_bc QCD_bss QCD_bs QCD_b QCD_ccss QCD_ccs
QCD_cc QCD_css QCD_cs QCD_c QCD_ss QCD_s QCD_light
"""

JETCLASS2 = tuple(_DECAYS.split())
"""The 188 classes of JetClass-II in the order of its labels: X → two bodies, X → YY → three or four, QCD by flavour."""

_MOMENTA = ("part_px", "part_py", "part_pz", "part_energy")
_PARTICLE = {"d0": "part_d0val", "d0_err": "part_d0err", "dz": "part_dzval", "dz_err": "part_dzerr"}
_PARTICLE |= {"charge": "part_charge"}
_FLAGS = ("isChargedHadron", "isNeutralHadron", "isPhoton", "isElectron", "isMuon")
_TYPES = tuple(f"part_{flag}" for flag in _FLAGS)
_JET = ("pt", "eta", "phi", "energy", "sdmass", "tau1", "tau2", "tau3", "tau4")


def _schema(labels: tuple[str, ...]) -> Schema:
    particle = ("pt", "deta", "dphi", "energy", "charge", "type", "d0", "d0_err", "dz", "dz_err")
    return jets_schema(particle, ("pt", "eta", "phi", "mass", *_JET[3:]), labels)


def _wanted(schema: Schema) -> list[str]:
    """Branches that the fields of a schema need, labels left out."""
    particle = schema["particle"].names if "particle" in schema.names else ()
    jet = schema["jet"].names if "jet" in schema.names else ()
    names = [*_MOMENTA, *(_PARTICLE[f] for f in particle if f in _PARTICLE)]
    return [*names, *(_TYPES if "type" in particle else ()), *(f"jet_{f}" for f in jet if f in _JET)]


def _build(schema: Schema, columns: Mapping[str, Column], label: Tensor | None, path: Path) -> Batch:
    lengths = counts(columns, [n for n in columns if n.startswith("part_")], path)
    p4 = torch.stack([pick(columns, n) for n in _MOMENTA], 1)
    particle = {f: pick(columns, n) for f, n in _PARTICLE.items() if n in columns}
    if _TYPES[0] in columns:
        particle["type"] = one_hot_index([pick(columns, n) for n in _TYPES])
    jet = {f: pick(columns, f"jet_{f}") for f in _JET if f"jet_{f}" in columns}
    return jets_batch(schema, p4, lengths, particle, jet if label is None else {**jet, "label": label})


def one_hot_index(flags: Sequence[Tensor]) -> Tensor:
    """(N,) place of the one of K flags (N,) that is set, NaN where none or several are.

    Example:
        >>> one_hot_index([torch.tensor([0, 0]), torch.tensor([1, 0])]).tolist()
        [1.0, nan]
    """
    index, count = torch.zeros_like(flags[0], dtype=torch.float64), torch.zeros_like(flags[0])
    for k, flag in enumerate(flags):
        count += flag
        index.add_(flag, alpha=k)
    index[count != 1] = float("nan")
    return index


class JetClassReader(RootReader):
    """JetClass files, 100,000 jets each; impact parameters in mm."""

    format = "jetclass"
    usual_tree = "tree"
    signature = frozenset({*_MOMENTA, "part_deta", "jet_pt", "label_QCD"})

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self.schema = _schema(JETCLASS)

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        labels = [f"label_{n}" for n in JETCLASS] if "jet.label" in schema else []
        columns = self.columns([*_wanted(schema), *labels], start, stop)
        label = one_hot_index([pick(columns, n) for n in labels]) if labels else None
        return _build(schema, columns, label, self.path)


class JetClass2Reader(Reader):
    """JetClass-II files; 188 classes."""

    format = "jetclass2"

    def __init__(self, path: str | Path, *, tree: str | None = None, on_bad: OnBad = "stop") -> None:
        super().__init__(path, tree=tree, on_bad=on_bad)
        self._file = open_parquet(self.path)
        self.schema = _schema(JETCLASS2)
        have = self._file.schema_arrow.names
        if missing := [n for n in (*_wanted(self.schema), "jet_label") if n not in have]:
            raise ValueError(f"{self.path}: missing columns {', '.join(missing)}; expected a JetClass-II file")
        meta = self._file.metadata
        self._bounds = np.cumsum([0] + [meta.row_group(i).num_rows for i in range(meta.num_row_groups)])

    @classmethod
    def sniff(cls, path: Path) -> bool:
        """Parquet with momenta of particles and the label of JetClass-II."""
        if not is_parquet(path):
            return False
        with open_parquet(path) as file:
            return {"part_px", "part_deta", "jet_label"} <= set(file.schema_arrow.names)

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def load(self, start: int, stop: int, schema: Schema) -> Batch:
        """See `Reader.load`."""
        names = [*_wanted(schema), *(["jet_label"] if "jet.label" in schema else [])]
        bounds = self._bounds.tolist()
        hit = [i for i, (a, b) in enumerate(pairwise(bounds)) if a < stop and b > start]
        table = self._file.read_row_groups(hit, columns=names, use_threads=False)
        table = table.slice(start - (bounds[hit[0]] if hit else 0), stop - start)
        columns = {n: _column(table.column(n)) for n in names}
        label = columns.pop("jet_label")[0] if "jet_label" in columns else None
        return _build(schema, columns, label, self.path)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _column(column: pa.ChunkedArray) -> Column:
    array = column.combine_chunks()
    lengths = None
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        lengths = torch.from_numpy(np.diff(array.offsets.to_numpy().astype(np.int64)))
        array = array.flatten()
    return torch.from_numpy(array.cast(pa.float64()).to_numpy(zero_copy_only=False).copy()), lengths
