"""Classes that fall into subclasses: a tree, of which the leaves are what a classifier answers.

A label may name a leaf or, where no more is known, an inner node: "a top quark" without how it decayed. The score of an
inner node is the sum of the scores of the leaves below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Tree", "tree"]


@dataclass(frozen=True, slots=True)
class Tree:
    """A class and those into which it falls.

    Args:
        name: A word of letters, digits and underscores, which names a field too: `H_bb`.
        parts: Subclasses; none for a leaf.

    Raises:
        ValueError: If a name is no such word or occurs twice.

    Example:
        >>> t = Tree("jet", (Tree("H", (Tree("H_bb"), Tree("H_cc"))), Tree("QCD")))
        >>> t.leaves, t.below("H")
        (('H_bb', 'H_cc', 'QCD'), ('H_bb', 'H_cc'))
    """

    name: str
    parts: tuple[Tree, ...] = ()

    def __post_init__(self) -> None:
        if not f"score_{self.name}".isidentifier():
            raise ValueError(f"class {self.name!r}: expected letters, digits and underscores, e.g. 'H_bb'")
        twice = {n for n in self.names if self.names.count(n) > 1}
        if twice:
            raise ValueError(f"tree {self.name}: {', '.join(sorted(twice))} occurs twice; give each class its own name")

    @property
    def names(self) -> tuple[str, ...]:
        """This class and all below it, from the top."""
        return (self.name, *(n for part in self.parts for n in part.names))

    @property
    def leaves(self) -> tuple[str, ...]:
        """The classes that fall into no others, in order."""
        return tuple(n for part in self.parts for n in part.leaves) if self.parts else (self.name,)

    def node(self, name: str) -> Tree:
        """The class of that name, with all below it.

        Raises:
            ValueError: If there is none; the message lists the topmost ones.
        """
        if name == self.name:
            return self
        for part in self.parts:
            if name in part.names:
                return part.node(name)
        have = ", ".join(part.name for part in self.parts)
        raise ValueError(
            f"no class {name!r} in the tree {self.name}; there are: {have or 'no others'}, and those below"
        )

    def below(self, name: str) -> tuple[str, ...]:
        """The leaves of the class of that name; a leaf is its own.

        Raises:
            ValueError: If there is no such class.
        """
        return self.node(name).leaves

    def groups(self, others: Mapping[str, str] | None = None) -> dict[str, tuple[str, ...]]:
        """{leaf: categories that may be it}: itself, the classes above it, and what stands for one of these.

        This is what `lpm.model.heads.ClassifyConfig` takes: a category that belongs to several leaves is a label that
        stops above them.

        Args:
            others: {category of another data set: class of this tree that it stands for}.

        Raises:
            ValueError: If an entry of `others` stands for no class of the tree.

        Example:
            >>> Tree("jet", (Tree("H", (Tree("H_bb"), Tree("H_cc"))), Tree("QCD"))).groups({"Hbb": "H_bb"})["H_bb"]
            ('H_bb', 'Hbb', 'H', 'jet')
        """
        said: dict[str, tuple[str, ...]] = dict.fromkeys(self.leaves, ())
        stands = {name: [name, *(o for o, n in (others or {}).items() if n == name)] for name in self.names}
        for name in (others or {}).values():
            self.node(name)
        for name in reversed(self.names):
            for leaf in self.below(name):
                said[leaf] = (*said[leaf], *stands[name])
        return said


def tree(name: str, *parts: Tree | str) -> Tree:
    """A tree from its parts, of which leaves may be given as words.

    Example:
        >>> tree("jet", tree("H", "H_bb", "H_cc"), "QCD").leaves
        ('H_bb', 'H_cc', 'QCD')
    """
    return Tree(name, tuple(Tree(p) if isinstance(p, str) else p for p in parts))
