"""How a run's devices share its work: the axes of its mesh, as a config says them."""

from dataclasses import asdict, dataclass

from seqmodels.config import construct, read_arguments
from seqmodels.errors import UserError, require, require_least

REST = -1
"""As many devices as the other axes leave."""


@dataclass(frozen=True)
class MeshSettings:
    """What devices share; the keys of a config's ``mesh`` section.

    Nothing of what a run computes depends on it, but the order of sums: a run may go on with
    another.
    """

    data: int = REST
    """Devices that share the rows of a batch; -1 takes all that the others leave."""
    sequence: int = 1
    """Devices that share the positions of each row."""
    model: int = 1
    """Devices that share heads and inner features, and the parameters of those
    (:data:`~seqmodels.placement.RULES`)."""
    fully_sharded: bool = False
    """Whether those that share rows share all parameters, and what the optimizer keeps of them,
    too (Rajbhandari et al. 2020)."""

    def __post_init__(self):
        require(self.data == REST or self.data >= 1, f"data={self.data} is neither from 1 nor -1")
        require_least(1, sequence=self.sequence, model=self.model)

    @property
    def least(self) -> int:
        """The fewest devices that it takes; another number of them is a multiple."""
        return self.sequence * self.model * (1 if self.data == REST else self.data)

    def takes(self, devices: int) -> bool:
        """Whether so many devices make such a mesh."""
        return devices % self.least == 0 if self.data == REST else devices == self.least

    def sizes(self, devices: int) -> dict[str, int]:
        """The sizes of the mesh's axes on so many devices.

        Raises:
          UserError: they can't be.
        """
        if not self.takes(devices):
            a = "a multiple of " if self.data == REST else ""
            raise UserError(
                f"devices={devices} can't be shared by mesh.data={self.data}, "
                f"mesh.sequence={self.sequence} and mesh.model={self.model}; choose "
                f"{a}{self.least}, or another mesh"
            )
        rows = devices // (self.sequence * self.model)
        return {"data": rows, "sequence": self.sequence, "model": self.model}


def read_mesh(text: str) -> MeshSettings:
    """Settings from text; what it leaves out has its default.

    Raises:
      ConfigError: one line that names the setting and what is allowed.

    >>> read_mesh("data=2,sequence=4").sizes(8)
    {'data': 2, 'sequence': 4, 'model': 1}
    """
    return construct(MeshSettings, read_arguments(text, **asdict(MeshSettings())), "mesh")
