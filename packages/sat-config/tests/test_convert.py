import msgspec
import pytest

from sat_config import convert


def test_convert_is_strict(toy):
    assert convert.convert({"needed": 1}, toy.Child) == toy.Child(needed=1)
    for value in ({"needed": "1"}, {"needed": 1.0}, {"needed": 1, "more": 2}, {}):
        with pytest.raises(msgspec.ValidationError):
            convert.convert(value, toy.Child)


def test_fault_is_none_for_what_fits_and_words_for_what_does_not(toy):
    assert convert.fault({"needed": 1}, toy.Child) is None
    assert "missing required field `needed`" in convert.fault({}, toy.Child)
    assert convert.fault("x", int) == "Expected `int`, got `str`"


def test_only_this_module_converts():
    import pathlib

    package = pathlib.Path(convert.__file__).parent
    callers = [p.name for p in package.rglob("*.py") if "msgspec.convert(" in p.read_text()]
    assert callers == ["convert.py"]
