import answer_time
import callback_to_webhook
import whole_rate
from run import Run


async def measure(run: Run) -> None:
    """Measure everything in one process: with webhooks to the game's server, and for a game that pulls."""
    stage = run.stage
    game = await stage.serve("game_server.py")
    system = await stage.okgames("up", database_url=await stage.database("whole"), game=game)
    rate = await whole_rate.measure(run, system, "every reward brought to the game by a webhook")
    await answer_time.measure(run, system, "everything in one process", rate)
    await callback_to_webhook.measure(run, system, game)
    await stage.end(system, "callbacks and webhooks")

    pulling = await stage.okgames("up", database_url=await stage.database("pulling"))
    await whole_rate.measure(run, pulling, "for a game that pulls its rewards")
    await stage.end(pulling, "callbacks, for a game that pulls")
