"""Private and changing parts of Airflow, each with version and reason.

The versions are those that the tests run: Airflow 3.3.2 with its task SDK 1.3.2, and the providers
http 6.3, standard 1.21. When another version breaks something, look here first. Two modules rely on
Airflow's behaviour without using a private name: `operators.execution_timeout` (the alarm of the
task SDK, 3.3, raises in the main thread) and `operators.task_stop` (the task SDK, 3.3, calls
`on_kill` in the main thread at a SIGTERM, and does not end the task by itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

# Task SDK 1.3: no public name of Airflow's sends metrics, and this one re-exports a `_shared` one.
from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from airflow.providers.http.hooks.http import HttpAsyncHook
    from airflow.sdk import Param
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.timetables.trigger import CronPartitionTimetable
    from pendulum.tz.timezone import FixedTimezone, Timezone

__all__ = [
    "add_param",
    "adds_to_resumption",
    "encoded_timezone_of",
    "has_config",
    "plugins_permission",
    "stats",
    "timezone_of",
]


def add_param(params: object, name: str, param: Param) -> ParamsDict:
    """Return an operator's params with one more.

    Task SDK 1.3: `airflow.sdk` has `ParamsDict`, but its type stub lacks it.
    """
    from airflow.sdk.definitions.param import ParamsDict  # noqa: PLC0415 - a timetable needs no param

    added = ParamsDict(params)  # type: ignore[arg-type] # whatever an operator takes
    added[name] = param
    return added


@contextmanager
def adds_to_resumption(**kwargs: Any) -> Iterator[None]:
    """Add arguments to the call of `execute_complete` after a `HITLOperator` has waited.

    Airflow 3.3: `TaskAwaitingInput` parks the task without a triggerer, and is not in `airflow.sdk`
    itself; before 3.3 the operator deferred the task. The standard provider 1.21 takes no arguments
    for the resumption.
    """
    from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: PLC0415 - only where a task asks

    try:
        yield
    except TaskAwaitingInput as waiting:
        waiting.kwargs = {**(waiting.kwargs or {}), **kwargs}
        raise


def has_config(hook: HttpAsyncHook) -> bool:
    """Return True if a hook has resolved its connection.

    Provider http 6.3: `HttpAsyncHook.config` keeps its result in this private attribute.
    """
    return hook._config is not None  # noqa: SLF001


def plugins_permission() -> Callable[..., Any]:
    """Return the dependency of a FastAPI route for a login with the permission to see plugins.

    Airflow 3.3: `airflow.api_fastapi` is not public, and a plugin's app has no other way to ask.

    :raises ImportError: in a version with other names.
    """
    from airflow.api_fastapi.auth.managers.models.resource_details import (  # noqa: PLC0415
        AccessView,
    )
    from airflow.api_fastapi.core_api.security import requires_access_view  # noqa: PLC0415

    return requires_access_view(AccessView.PLUGINS)


def timezone_of(timetable: CronPartitionTimetable) -> Timezone | FixedTimezone:
    """Return the time zone of a timetable.

    Airflow 3.3: timetables by cron keep it in this private attribute alone.
    """
    return timetable._timezone  # noqa: SLF001


def encoded_timezone_of(timetable: CronPartitionTimetable) -> str | int:
    """Return the time zone of a timetable, as Airflow serializes it.

    Airflow 3.3: `airflow.serialization` is not public, and Airflow's timetables use it alike.
    """
    from airflow.serialization.encoders import encode_timezone  # noqa: PLC0415 - as in Airflow's

    return encode_timezone(timezone_of(timetable))
