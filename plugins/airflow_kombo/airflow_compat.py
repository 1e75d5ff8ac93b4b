"""Private and changing parts of Airflow, each with version and reason.

The tests run on Airflow 3.3.2 with its task SDK 1.3.2, and the providers http 6.3, standard 1.21.
`make test-matrix` tries Airflow 3.1 and 3.2, too. What is missing there has a stated behaviour:
docs/adr/0028-older-airflow.md. When another version breaks something, look here first. Two modules
rely on Airflow's behaviour without using a private name: `operators.execution_timeout` (the alarm
of the task SDK raises in the main thread) and `operators.task_stop` (the task SDK calls `on_kill`
in the main thread at a SIGTERM, and does not end the task by itself).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

try:
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
    )
except ImportError:  # Airflow 3.1 has them elsewhere
    from airflow.exceptions import (  # type: ignore[attr-defined,no-redef]
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
    )

if TYPE_CHECKING:
    from datetime import date

    from airflow.providers.http.hooks.http import HttpAsyncHook
    from airflow.sdk import Connection, Param
    from airflow.sdk.configuration import AirflowSDKConfigParser
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.sdk.types import OutletEventAccessorProtocol
    from airflow.timetables.trigger import CronTriggerTimetable
    from pendulum.tz.timezone import FixedTimezone, Timezone

__all__ = [
    "XCOM_RETURN_KEY",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "add_param",
    "add_partition",
    "adds_to_resumption",
    "can_park_questions",
    "configuration",
    "count_metric",
    "encoded_timezone_of",
    "has_partitions",
    "keep_config",
    "kept_config",
    "older_http_config",
    "partition_of",
    "plugins_permission",
    "time_metric",
    "timezone_of",
]

log = logging.getLogger(__name__)

_lost_metrics: Final = set[str]()

XCOM_RETURN_KEY: Final = "return_value"
"""The key of a task's own XCom. Airflow 3.1 has `BaseXCom` outside `airflow.sdk`."""


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


def can_park_questions() -> bool:
    """Return whether a task can wait for a person's answer without a worker and a triggerer.

    Airflow 3.3 parks the task (`TaskAwaitingInput`). Before 3.3 a triggerer would have to wait.
    """
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput  # noqa: F401, PLC0415 - as above
    except ImportError:
        return False
    return True


def has_partitions() -> bool:
    """Return whether runs of a timetable can have a day as their partition.

    Airflow 3.3. In 3.2 the scheduler knows partitions, but a backfill cannot name them, and a task
    cannot add one to an asset's event. In 3.1 there are none.
    """
    from airflow.timetables.base import Timetable  # noqa: PLC0415 - not every task needs it

    return hasattr(Timetable, "localize_partition_datetime")


def partition_of(dag_run: object) -> str | None:
    """Return the partition key of a dag run; Airflow 3.1 has none."""
    key: str | None = getattr(dag_run, "partition_key", None)
    return key


def add_partition(event: OutletEventAccessorProtocol, day: date) -> None:
    """Add a day as the partition to an asset's event.

    Airflow 3.3. In an older one the event has no partition.
    """
    if hasattr(event, "add_partitions"):
        event.add_partitions(day.isoformat())


def configuration() -> AirflowSDKConfigParser:
    """Return the settings of Airflow, for a worker.

    Task SDK 1.2: `airflow.sdk` has them. In Airflow 3.1 only `airflow.configuration` does.
    """
    try:
        from airflow.sdk import conf  # noqa: PLC0415 - heavy, and only a worker needs it
    except ImportError:
        from airflow.configuration import conf as older  # noqa: PLC0415 - the same

        return older  # type: ignore[return-value]
    return conf


def count_metric(name: str, more: int, tags: Mapping[str, str]) -> None:
    """Add to a counter in Airflow's backend of metrics."""
    _send_metric("incr", name, more, tags)


def time_metric(name: str, milliseconds: float, tags: Mapping[str, str]) -> None:
    """Send a duration to Airflow's backend of metrics."""
    _send_metric("timing", name, milliseconds, tags)


def _send_metric(how: str, name: str, value: float, tags: Mapping[str, str]) -> None:
    """Send a metric; a failure is a warning in the log, once a metric, and fails no run.

    The backend is the deployment's, with errors of its own. The rows are delivered.
    """
    try:
        getattr(_stats(), how)(name, value, tags=dict(tags))
    except Exception as error:  # noqa: BLE001 - see above: no metric changes a row or a run
        if name not in _lost_metrics:
            _lost_metrics.add(name)
            log.warning("The metric %s could not be sent: %s", name, type(error).__name__)


def _stats() -> Any:
    """Return the sender of metrics.

    No public name of Airflow's sends metrics. Task SDK 1.3 has functions in a module; 1.2 has a
    class in this module; Airflow 3.1 has the class elsewhere.
    """
    if find_spec("airflow.sdk.observability") is None:
        from airflow.stats import Stats  # noqa: PLC0415 - Airflow 3.1

        return Stats
    from airflow.sdk.observability import stats  # noqa: PLC0415 - the bench has no Airflow

    return stats if hasattr(stats, "incr") else stats.Stats


def kept_config(hook: HttpAsyncHook) -> Any:
    """Return the configuration that a hook has resolved, or None.

    Provider http 6: `HttpAsyncHook.config` keeps its result in this private attribute.
    """
    return getattr(hook, "_config", None)


def keep_config(hook: HttpAsyncHook, config: Any) -> None:
    """Keep the configuration of a hook, where the provider's own methods read it."""
    hook._config = config  # noqa: SLF001


def older_http_config(connection: Connection) -> Any:
    """Return the configuration of a connection, or None where the hook itself reads it.

    Provider http 5, of the time of Airflow 3.1.7: `HttpAsyncHook` has no `config`. The function for
    the extras is private, and the same in 5 and 6.
    """
    from airflow.providers.http.hooks import http  # noqa: PLC0415 - as `hooks.kombo` does

    if hasattr(http.HttpAsyncHook, "config"):
        return None
    headers, options = http._process_extra_options_from_connection(  # noqa: SLF001
        conn=connection, extra_options={}
    )
    address = connection.host or ""
    if "://" not in address:
        address = f"{connection.schema or 'http'}://{address}"
    if connection.port:
        address += f":{connection.port}"
    return SimpleNamespace(base_url=address, headers=headers, extra_options=options, auth=None)


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


def timezone_of(timetable: CronTriggerTimetable) -> Timezone | FixedTimezone:
    """Return the time zone of a timetable.

    Airflow 3.1 to 3.3: timetables by cron keep it in this private attribute alone.
    """
    return timetable._timezone  # noqa: SLF001


def encoded_timezone_of(timetable: CronTriggerTimetable) -> str | int:
    """Return the time zone of a timetable, as Airflow serializes it.

    `airflow.serialization` is not public, and Airflow's timetables use it alike. Airflow 3.1 has
    the function in another module.
    """
    try:
        from airflow.serialization.encoders import encode_timezone  # noqa: PLC0415 - as Airflow does
    except ImportError:
        from airflow.serialization import serialized_objects  # noqa: PLC0415 - the same

        return serialized_objects.encode_timezone(timezone_of(timetable))  # type: ignore[attr-defined]
    return encode_timezone(timezone_of(timetable))
