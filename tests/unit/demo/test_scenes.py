"""The scenes as data: each has a name, words for a newcomer, and an answer that can be checked."""

import pytest

from portvakt import Code
from portvakt.demo.scenes import ACTS, SCENES, Scene
from portvakt.demo.sent import Cast
from portvakt.testing import FakeIssuer


@pytest.fixture(scope="module")
def cast() -> Cast:
    return Cast.of(FakeIssuer(audience="nhn:journal"))


def test_every_scene_has_a_name_of_its_own() -> None:
    names = [scene.id for scene in SCENES]
    assert len(names) == len(set(names))


def test_the_acts_hold_every_scene_in_its_order() -> None:
    assert [scene for act in ACTS for scene in act.scenes] == list(SCENES)


def test_there_are_honest_scenes_and_hostile_ones() -> None:
    assert sum(scene.code is None for scene in SCENES) >= 5
    assert sum(scene.code is not None for scene in SCENES) >= 25


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
def test_a_scene_expects_the_status_of_its_reason(scene: Scene) -> None:
    if scene.code is None:
        assert scene.status in {200, 201}
    else:
        assert scene.status == scene.code.status


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
def test_a_scene_fits_a_terminal(scene: Scene) -> None:
    assert 0 < len(scene.sent) <= 60
    assert 0 < len(scene.advice) <= 90
    assert scene.advice.endswith(".")
    assert (scene.sent + scene.advice).isascii()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.id)
def test_the_repr_of_what_is_sent_shows_no_token(scene: Scene, cast: Cast) -> None:
    sent = scene.make(cast)
    shown = f"{sent!r} {sent.__rich_repr__()!r}"
    assert "ey" not in shown
    assert "access_token" not in shown
    assert "Authorization" not in shown


def test_the_repr_of_the_cast_shows_nothing(cast: Cast) -> None:
    assert repr(cast) == "Cast()"
    assert cast.__rich_repr__() == []


def test_the_same_token_is_sent_again(cast: Cast) -> None:
    scenes = {scene.id: scene for scene in SCENES}
    assert scenes["again"].make(cast) == scenes["honest"].make(cast)


def test_a_reason_is_shown_once_unless_it_hides_in_several_places() -> None:
    reasons = [scene.code for scene in SCENES if scene.code is not None]
    repeated = {code for code in reasons if reasons.count(code) > 1}
    assert repeated == {
        Code.CREDENTIAL_MISSING,
        Code.HEADER_FORBIDDEN,
        Code.SIGNATURE_INVALID,
        Code.TOKEN_PARTS,
    }
