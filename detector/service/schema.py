"""What the service answers, as OpenAPI describes it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from detector.service.jobs import Job, State

_TEXT, _WHOLE, _FLAG = str | None, int | None, bool | None


def _rows(name: str, about: str, columns: dict[str, Any]) -> type[BaseModel]:
    """A row of a table; what is not known is null."""
    fields: dict[str, Any] = {column: (kind, None) for column, kind in columns.items()}
    return create_model(name, __doc__=about, **fields)


def _intervals(*names: str) -> dict[str, Any]:
    return {column: float | None for name in names for column in (name, f"{name}_low", f"{name}_high")}


_CELLS = ("RBC", "WBC", "Platelets")
FieldRow = _rows(
    "FieldRow",
    "A row of `counts.csv`.",
    {
        **{"field": str, "smear": str, "status": str, "reason": _TEXT},
        **{column: _WHOLE for name in ("", "_frame") for column in (f"{cell}{name}" for cell in _CELLS)},
        **{"width_px": _WHOLE, "height_px": _WHOLE, "rbc_px": float | None, "scale": _TEXT, "saturated": _FLAG},
        **{"focus": float | None, "covered": float | None, "doubt": _TEXT},
    },
)
SmearRow = _rows(
    "SmearRow",
    "A row of `smears.csv`: one class of a smear, with 95 % intervals.",
    {
        **{"smear": str, "class": str, "fields": int, "unread": int, "saturated": int, "fields_doubtful": int, "warning": _TEXT},
        **{"total": _WHOLE, "mean_per_field": float | None, "mean_low": float | None, "mean_high": float | None},
        **_intervals("expected_total", "expected_mean"),
        "total_frame": _WHOLE,
        **_intervals("per_mm2", "per_rbc", "per_ul"),
        "per_ul_source": _TEXT,
        **_intervals("per_1000_rbc", "e9_per_litre"),
    },
)


class Counts(BaseModel):
    """What a count found: the document that `smearcount count --json` prints, and how it was made."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["smearcount"]
    version: int
    warnings: list[str] = Field(description="What must be known before any number is believed.")
    counts: list[FieldRow] = Field(description="A row per picture, as in counts.csv.")  # type: ignore[valid-type]
    smears: list[SmearRow] = Field(description="A row per smear and class, as in smears.csv.")  # type: ignore[valid-type]
    run: dict[str, Any] = Field(description="Model, settings and versions, as in run.json.")
    detections: dict[str, Any] | None = Field(None, description="Each cell's box in the layout of COCO, where asked for.")


class JobState(BaseModel):
    """Where a job stands."""

    id: str
    state: State
    fields: int = Field(description="Pictures in it.")
    fields_done: float = Field(description="Those that are done; a slide counts by the share of its tiles.")
    unread: int = Field(description="Pictures that could not be read; known at the end.")
    reason: str = Field(description="Why it failed; else empty.")
    submitted: float = Field(description="Seconds since 1970.")
    finished: float | None = Field(description="Seconds since 1970; null before.")

    @classmethod
    def of(cls, job: Job) -> JobState:
        """That of a job as it is now."""
        return cls(**vars(job))


class JobList(BaseModel):
    """Jobs, the oldest first."""

    jobs: list[JobState]


class Refusal(BaseModel):
    """Why something was not done, and what would have worked."""

    error: str


class Health(BaseModel):
    """Whether the service lives, or is ready to count."""

    status: Literal["ok", "not ready"]


class About(BaseModel):
    """The model that counts, as in run.json."""

    name: str
    sha256: str
    backend: str
    smearcount: str = Field(description="Version of the program.")
    thresholds: dict[str, float] = Field(description="Least score of a counted cell, by class.")
