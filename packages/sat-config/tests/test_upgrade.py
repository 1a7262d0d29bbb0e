import pytest

from sat_config import upgrade


def test_document_without_version_is_taken_as_it_is():
    data = {"a": 1}
    assert upgrade.upgrade(data) is data


def test_steps_are_climbed_one_by_one(monkeypatch):
    monkeypatch.setattr(upgrade, "CURRENT", 3)
    monkeypatch.setattr(
        upgrade,
        "STEPS",
        {1: lambda data: {**data, "one": True}, 2: lambda data: {**data, "two": data["one"]}},
    )
    assert upgrade.upgrade({"schema_version": 1}) == {"one": True, "two": True}
    assert upgrade.upgrade({"schema_version": 2, "one": 0}) == {"one": 0, "two": 0}
    assert upgrade.upgrade({"schema_version": 3}) == {}


def test_every_version_has_its_step():
    assert sorted(upgrade.STEPS) == list(range(1, upgrade.CURRENT))


@pytest.mark.parametrize("version", [0, 99, True, "1", 1.0, None, [1]])
def test_version_that_is_not_known_is_refused(version):
    with pytest.raises(upgrade.VersionError, match="this sat-config reads 1 to"):
        upgrade.upgrade({"schema_version": version})
