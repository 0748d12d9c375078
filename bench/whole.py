import answer_time
import callback_to_webhook
import whole_rate
from run import Run


async def measure(run: Run) -> None:
    """Measure everything in one process: for a game that pulls, and with webhooks to the game's server."""
    stage = run.stage
    pulling = await stage.okgames("up", database_url=await stage.database("pulling"))
    await whole_rate.measure_pulling(run, pulling)
    await stage.end(pulling, "callbacks, for a game that pulls")

    game = await stage.serve("game_server.py")
    system = await stage.okgames("up", database_url=await stage.database("whole"), game=game)
    rate = await whole_rate.measure_posting(run, system, game)
    await answer_time.measure(run, system, "everything in one process", rate)
    await callback_to_webhook.measure(run, system, game)
    await stage.end(system, "callbacks and webhooks")
