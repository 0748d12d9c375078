import uuid

from hypothesis import given
from hypothesis import strategies as st

from okgames.events import derive_id, derive_id_text

_NAMESPACE = uuid.UUID("6c1f0a52-4f0b-5f0e-9d3e-0b6f6b1a3f6d")


@given(st.lists(st.text(), min_size=1))
def test_a_derived_id_is_the_version_5_uuid_of_its_parts(parts: list[str]) -> None:
    expected = uuid.uuid5(_NAMESPACE, "\x1f".join(parts))
    derived = derive_id(*parts)
    assert expected == derived
    assert (hash(expected), repr(expected), expected.is_safe) == (hash(derived), repr(derived), derived.is_safe)
    assert str(expected) == derive_id_text(*parts)
