from notifier_world import Game, Notifier, reward

from okgames.testing import wait_until


async def test_a_reward_is_delivered(game: Game, at_work: Notifier) -> None:
    await at_work.tell(reward("1", 1))
    await wait_until(lambda: at_work.states())
    await wait_until(lambda: game.seen)
    assert "reward.granted" == game.seen[0].type
    print(await at_work.delivery())
    print(game.headers)
