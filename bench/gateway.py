import answer_time
import callback_rate
import lone_callback
from run import Run


async def measure(run: Run) -> None:
    """Measure one gateway process."""
    stage = run.stage
    system = await stage.okgames("run", "callback-gateway", database_url=await stage.database("gateway"))
    rate = await callback_rate.measure(run, system)
    await answer_time.measure(run, system, "one gateway process", rate)
    await lone_callback.measure(run, system)
    await stage.end(system, "callbacks")
