"""What every block of the experiment file shares: strict types, no unknown key, faults that name their key."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

T = TypeVar("T")


class Block(BaseModel):
    """A block of the experiment file: immutable, its types not bent, every key known, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def fault(key: str, message: str) -> PydanticCustomError:
    """Return the error of a value that is fine in itself but not beside the others; ``key`` lies in the same block.

    The message continues the key's name: ``fault("hop", "is 200, ...")`` reads "data.hop is 200, ...".
    """
    return PydanticCustomError("conv2d_fault", "{message}", {"message": message, "key": key})


def distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    """Pass values through, none of which may stand twice."""
    for place, value in enumerate(values):
        if value in values[:place]:
            raise fault("", f"names {value!r} twice; name each once")
    return values


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _as_path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) and value else value


# YAML gives lists and text where tuples and paths are kept. Only this is bent: what a list contains stays strict.
Listed = BeforeValidator(_as_tuple)
Location = Annotated[Path, BeforeValidator(_as_path)]
Name = Annotated[str, Field(min_length=1)]
Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(distinct), Listed]
