from simulator.chance import Chance


def test_the_same_names_give_the_same_draws_whatever_was_drawn_elsewhere() -> None:
    chance, again = Chance("seed"), Chance("seed")
    for _ in range(10):
        again.of("another matter").between(0, 1)

    assert chance.of("uid", 1).between(0, 1) == again.of("uid", 1).between(0, 1)
    assert chance.of("uid", 1).shuffled(range(20)) == again.of("uid", 1).shuffled(range(20))


def test_another_seed_or_another_name_gives_other_draws() -> None:
    draws = {Chance(seed).of(name).between(0, 1) for seed in ("a", "b") for name in range(50)}

    assert 100 == len(draws)


def test_a_probability_is_met_over_many_matters() -> None:
    happened = sum(Chance("seed").of(matter).happens(0.2) for matter in range(2_000))

    assert 300 < happened < 500
