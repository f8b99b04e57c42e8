"""What the web page reads: rows by the page, a row with its lineage, what left and why, and the figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from mhdata import browse
from mhdata.browse import Wanted
from mhdata.http.context import Here
from mhdata.http.problems import Problem, documented
from mhdata.lineage import NoRowError
from mhdata.statistics import NotBuiltError

router = APIRouter(prefix="/browse", tags=["browse"], responses=documented(404, 409))
T = TypeVar("T")

Name = Annotated[str | None, Query(max_length=100)]
Text = Annotated[str, Query(max_length=200, description="In any case of letters.")]
After = Annotated[
    str | None, Query(pattern=r"^[0-9a-f]{12}-[0-9]{1,15}$", description="`next` of the page before this one.")
]
Limit = Annotated[int, Query(ge=1, le=200, description="The most rows that the page may have.")]


class Page(BaseModel):
    """Rows, and where the next page begins. A page may have fewer rows than asked for, even none, and a `next`."""

    model_config = ConfigDict(from_attributes=True)

    rows: list[dict[str, Any]]
    next: str | None
    scanned: int
    total: int


@router.get("/rows")
def rows(
    where: Here,
    text: Text = "",
    source: Name = None,
    type: Name = None,
    tag: Name = None,
    side: Name = None,
    cluster: Name = None,
    after: After = None,
    limit: Limit = 50,
) -> Page:
    """Rows of the merged table that meet all conditions, in its order; texts are cut."""
    wanted = Wanted(text, source or None, type or None, tag or None, side or None, cluster or None)
    return Page.model_validate(_found(lambda: browse.rows(where, wanted, after, limit)))


@router.get("/row")
def row(
    where: Here, name: Annotated[str, Query(max_length=500, description="An id, or source:file:row.")]
) -> dict[str, Any]:
    """One row with all that is known of it: what `mhdata show --json` prints, and what the screens found."""
    return _found(lambda: browse.row(where, name))


@router.get("/clusters")
def clusters(where: Here, source: Name = None, after: After = None, limit: Limit = 25) -> Page:
    """Merged rows that stand for duplicates or have near-duplicates beside them."""
    return Page.model_validate(_found(lambda: browse.clusters(where, source or None, after, limit)))


@router.get("/quarantine")
def quarantine(
    where: Here, source: Name = None, reason: Name = None, text: Text = "", after: After = None, limit: Limit = 50
) -> Page:
    """Rows that never became a record, with the reason. `scanned` and `total` are bytes."""
    return Page.model_validate(
        _found(lambda: browse.quarantine(where, source or None, reason or None, text, after, limit))
    )


@router.get("/dropped")
def dropped(where: Here, source: Name = None, reason: Name = None, after: After = None, limit: Limit = 50) -> Page:
    """Records that licence, policy or the deny list kept out of the merged table."""
    return Page.model_validate(_found(lambda: browse.dropped(where, source or None, reason or None, after, limit)))


@router.get("/flow")
def flow(where: Here) -> dict[str, Any]:
    """Where the rows of each source went, by the last report."""
    return _found(lambda: browse.flow(where))


@router.get("/distributions")
def distributions(where: Here) -> dict[str, Any]:
    """What the merged table holds, and what the screens found."""
    return _found(lambda: browse.distributions(where))


def _found(read: Callable[[], T]) -> T:
    """What `read` gives; a 404 where nothing has been built or nothing has the name."""
    try:
        return read()
    except (NotBuiltError, NoRowError) as error:
        raise Problem(404, str(error)) from None
