import hashlib
import html
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cli.api import Api, Row, rows_of
from cli.tables import moscow_text

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
<p>{state}</p>
<h2>OK's rules</h2>
<table border="1"><tr><th>Rule<th>Kept<th>Why</tr>
{rules}
</table>
<h2>Steps</h2>
<table border="1"><tr><th>Step<th>State<th>Due<th>Done</tr>
{steps}
</table>
<h2>Evidence</h2>
<table border="1"><tr><th>Step<th>Who<th>Happened<th>Recorded<th>What</tr>
{evidence}
</table>
<h2>Winners</h2>
<table border="1"><tr><th>Place<th>Player<th>OKs<th>Name<th>Profile<th>Paid during the promotion</tr>
{winners}
</table>
"""
_KEPT: Final = {True: "yes", False: "no", None: "not known"}


def write(api: Api, promotion_id: str, path: Path) -> None:
    """Write all that is known of a promotion into a zip, with the checksums of its files."""
    promotion = api.get(f"/v1/promotions/{promotion_id}")
    files = dict(_files(api, promotion))
    files["index.html"] = _page(promotion).encode()
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**files, "SHA256SUMS": sums.encode()}.items()):
            archive.writestr(name, content)


def _files(api: Api, promotion: Row) -> Iterator[tuple[str, bytes]]:
    yield "promotion.json", json.dumps(promotion, ensure_ascii=False, indent=2).encode()
    match promotion.get("draw"):
        case {"answer": {"body": str(body)}}:
            yield "answers/payment.appCashback.txt", body.encode()
    for number, each in enumerate(rows_of(promotion, "evidence"), 1):
        name = f"{number:02}-{each['step']}"
        match each:
            case {"picture": {"path": str(path), "file_name": str(file_name)}}:
                yield f"screenshots/{name}-{file_name}", api.content(path)
            case {"kind": "answer", "text": str(text)}:
                yield f"answers/{name}.txt", text.encode()
            case {"step": "conditions_post" | "winner_post", "kind": "word", "text": str(text)}:
                yield f"posts/{name}.txt", text.encode()
            case _:
                pass


def _page(promotion: Row) -> str:
    return _PAGE.format(
        title=html.escape(f"1,000 OKs: {promotion['name']}"),
        state=html.escape(f"State: {promotion['state']}. {promotion['reason'] or ''}"),
        rules=_table(
            [each["text"], _KEPT[_flag(each["kept"])], each["reason"]] for each in rows_of(promotion, "rules")
        ),
        steps=_table(
            [each["step"], each["state"], _moment(each["due_at"]), _moment(each["done_at"])]
            for each in rows_of(promotion, "steps")
        ),
        evidence=_table(
            [each["step"], each["by"], _moment(each["happened_at"]), _moment(each["recorded_at"]), each["text"]]
            for each in rows_of(promotion, "evidence")
        ),
        winners=_table(
            [
                each["place"],
                each["uid"],
                each["prize_oks"],
                each["name"] or "a closed profile",
                each["profile_url"],
                _KEPT[_flag(each["is_payer"])],
            ]
            for each in rows_of(promotion, "winners")
        ),
    )


def _table(rows: Iterator[list[object]]) -> str:
    return "\n".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}' for cell in row)}</tr>" for row in rows)


def _moment(value: object) -> str:
    return "" if value is None else moscow_text(str(value))


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None
