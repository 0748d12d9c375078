from hypothesis import given
from hypothesis import strategies as st

from okgames.ok_protocol import parse_query, text_parameters, verify
from simulator.chance import Chance
from simulator.domain.wire import forged_query, signed_query, unknown_parameters

SECRET = "0123456789ABCDEF01234567"

names = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1).filter(lambda name: name != "sig")
values = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
parameters = st.dictionaries(names, values, max_size=12)


@given(parameters, st.integers())
def test_every_query_is_read_back_and_has_the_right_signature(parameters: dict[str, str], seed: int) -> None:
    query = parse_query(signed_query(parameters, SECRET, Chance(seed)))

    assert parameters == text_parameters(query)
    assert verify(query, [SECRET])


@given(parameters, st.integers())
def test_no_forged_query_has_the_right_signature(parameters: dict[str, str], seed: int) -> None:
    assert not verify(parse_query(forged_query(parameters, Chance(seed))), [SECRET])


def test_order_place_of_the_signature_and_encoding_of_blanks_vary() -> None:
    queries = [signed_query({"a": "x y", "b": "2", "c": "3"}, SECRET, Chance(seed)) for seed in range(100)]

    assert {"a", "b", "c", "sig"} == {query.partition("=")[0] for query in queries}
    assert any("x+y" in query for query in queries)
    assert any("x%20y" in query for query in queries)


def test_a_plus_in_a_value_stays_a_plus_in_both_encodings() -> None:
    queries = {signed_query({"a": "2+2 = 4"}, SECRET, Chance(seed)) for seed in range(50)}

    assert {"2+2 = 4"} == {text_parameters(parse_query(query))["a"] for query in queries}


def test_unknown_parameters_never_take_the_name_of_a_known_one() -> None:
    known = {"uid", "amount", "product_code", "transaction_id", "extra_attributes", "currency", "sig"}

    drawn = {name for seed in range(100) for name, _ in unknown_parameters(Chance(seed))}

    assert len(drawn) > 3
    assert not drawn & known
