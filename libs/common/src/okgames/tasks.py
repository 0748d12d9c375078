import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def side_by_side(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """Return what coroutines return that run side by side; when one fails, cancel the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in coroutines]
    except ExceptionGroup as errors:
        # Whoever decides by the error's type, as `keep_going` does, knows of no groups.
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]
