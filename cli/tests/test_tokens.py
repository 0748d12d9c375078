import json

from command import Command

TOKENS = ("token", "list", "--json")


async def test_token_is_good_for_its_scopes_until_it_is_revoked(command: Command) -> None:
    async with command.running("up"):
        token = command.prints("token", "create", "laptop", "--scope", "dead-letters:read").strip()
        as_laptop = {"OKGAMES_TOKEN": token}

        assert "ID" in command.prints("dead-letters", "list", **as_laptop)
        assert (
            "the token does not allow deliveries:read" in command.run("deliveries", "list", **as_laptop).stderr.lower()
        )
        command.prints("token", "revoke", "laptop")
        refused = command.run("dead-letters", "list", **as_laptop)

    assert 2 == refused.returncode
    assert "revoked" in refused.stderr


def test_list_shows_tokens_but_not_what_they_are(command: Command) -> None:
    token = command.prints("token", "create", "game", "--scope", "entitlements:read", "--scope", "deliveries:read")
    command.prints("token", "revoke", "game")

    text = command.prints(*TOKENS)
    (row,) = map(json.loads, text.splitlines())
    assert ("game", "entitlements:read deliveries:read") == (row["name"], row["scopes"])
    assert row["revoked_at"] is not None
    assert token.strip() not in text
    assert "MSK" in command.prints("token", "list")


def test_token_wants_a_name_of_its_own_and_scopes_that_exist(command: Command) -> None:
    command.prints("token", "create", "game", "--scope", "entitlements:read")

    taken = command.run("token", "create", "game", "--scope", "entitlements:read")
    unknown = command.run("token", "create", "other", "--scope", "everything")

    assert (2, 2) == (taken.returncode, unknown.returncode)
    assert "there is a token named game already" in taken.stderr
    assert "no such scope: everything" in unknown.stderr
    assert 1 == len(command.prints(*TOKENS).splitlines())


def test_revoking_what_is_not_there_fails(program: Command) -> None:
    result = program.run("token", "revoke", "nobody")

    assert (1, "okgames: there is no token named nobody\n") == (result.returncode, result.stderr)


def test_without_a_token_the_api_is_not_even_asked(command: Command) -> None:
    result = command.run("deliveries", "list", OKGAMES_ADMIN_TOKEN="")

    assert 2 == result.returncode
    assert "OKGAMES_TOKEN" in result.stderr
