from desk_world import DAY, PICTURE, PROMOTION, Desk, attachment_due, cancelled, request_due

from okgames.events import derive_id

EVIDENCE = derive_id("evidence")


async def test_a_promotion_runs_in_jira_with_no_hand(desk: Desk) -> None:
    desk.pictures.content[str(EVIDENCE)] = PICTURE
    key = await desk.requested()
    await desk.read()
    for _ in range(12):
        await desk.turn("2h")
    await desk.learn(attachment_due(EVIDENCE))
    await desk.run()
    await desk.turn("1h")

    assert "PROMO-1" == key
    told = [event for event in await desk.told() if event.promotion_id == PROMOTION]
    kinds = [event.type for event in told]
    assert "IssueCreated" == kinds[0]
    wanted = ["RequestApproved", "PrizeFundConfirmed", "AttachmentAdded"]
    assert wanted == [kind for kind in kinds if kind in wanted]
    (fund,) = [event for event in told if event.type == "PrizeFundConfirmed"]
    assert 1000 == fund.amount_oks
    (attached,) = [event for event in told if event.type == "AttachmentAdded"]
    assert EVIDENCE == attached.evidence_id
    (issue,) = await desk.books()
    assert f"1,000 OKs: Backgammon, {DAY}" == issue["summary"]
    assert 1 == len(issue["attachments"])


async def test_a_declined_promotion_is_told_with_the_reason(desk: Desk) -> None:
    await desk.sim("faults", jira_declines=1.0)
    await desk.requested()
    for _ in range(10):
        await desk.turn("2h")

    (declined,) = await desk.told("RequestDeclined")
    assert "К сожалению, на эту дату мест нет." == declined.reason
    assert [] == await desk.told("RequestApproved")


async def test_a_request_is_made_once_however_often_it_is_asked_for(desk: Desk) -> None:
    for _ in range(3):
        await desk.learn(request_due())
        await desk.run()
    await desk.turn()

    assert 1 == len(await desk.books())
    assert ["IssueCreated"] == await desk.types()


async def test_a_request_of_a_promotion_that_was_cancelled_is_not_made(desk: Desk) -> None:
    await desk.learn(request_due(), cancelled())
    await desk.run()

    assert [] == await desk.books()
    assert ["cancelled"] == [errand["state"] for errand in await desk.errands()]


async def test_a_person_makes_the_request_and_gives_its_key(by_hand: Desk) -> None:
    await by_hand.learn(request_due())
    await by_hand.run()
    (errand,) = await by_hand.errands(state="for_person")
    assert f"1,000 OKs: Backgammon, {DAY}" == errand["pack"]["title"]
    assert {"ru", "en"} == errand["pack"]["texts"].keys()
    await by_hand.post(f"errands/{errand['id']}/done", key="PROMO-77")
    await by_hand.post("issues/PROMO-77/record", status="In Progress")
    await by_hand.post("issues/PROMO-77/record", status="Approved")
    await by_hand.post("issues/PROMO-77/record", comment="Призовой фонд 1 000 ОК зачислен")
    await by_hand.learn(attachment_due(EVIDENCE))
    (attach,) = await by_hand.errands(state="for_person")
    assert f"{by_hand.config.jira.url}/browse/PROMO-77" == attach["pack"]["where"]
    assert f"/v1/promotions/{PROMOTION}/evidence/{EVIDENCE}" == attach["pack"]["picture"]
    await by_hand.post(f"errands/{attach['id']}/done")

    assert [
        "IssueCreated",
        "IssueStatusChanged",
        "IssueStatusChanged",
        "RequestApproved",
        "CommentAdded",
        "PrizeFundConfirmed",
        "AttachmentAdded",
    ] == await by_hand.types()
    assert [EVIDENCE] == [event.evidence_id for event in await by_hand.told("AttachmentAdded")]


async def test_a_picture_waits_for_the_issue_of_its_promotion(desk: Desk) -> None:
    desk.pictures.content[str(EVIDENCE)] = PICTURE
    await desk.learn(request_due(), attachment_due(EVIDENCE))
    await desk.run()
    await desk.run()

    (issue,) = await desk.books()
    assert 1 == len(issue["attachments"])
