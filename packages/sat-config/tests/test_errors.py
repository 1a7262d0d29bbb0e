import io
import pickle

from hypothesis import given
from hypothesis import strategies as st

from sat_config import errors, overrides
from sat_config.errors import ConfigError, MissingExtraError, Problem, format_path

ONE = Problem(
    code="bad-value",
    path=("a", "b", 0),
    message="a.b[0] is 'x'",
    file="one.toml",
    line=7,
    column=3,
    source_line="\tb = ['x']",
    found="'x'",
    allowed="an integer",
    suggestion="1",
    note="see above",
)
WARN = Problem(code="comment-key", severity="warning", message="'_x' is a comment", file="one.toml")
FREE = Problem(code="bad-override", message="no '='", file="--override 'x'")


def test_render_one_problem_shows_place_line_caret_and_advice():
    assert errors.render([ONE]) == (
        "one.toml:7:3: error[bad-value]: a.b[0] is 'x'\n"
        "    7 | \tb = ['x']\n"
        "      | \t ^\n"
        "      = try: 1\n"
        "      = allowed: an integer\n"
        "      = note: see above\n"
        "\n"
        "1 error"
    )


def test_render_groups_by_file_and_puts_errors_first():
    assert errors.render([WARN, FREE, ONE]).splitlines() == [
        "one.toml:7:3: error[bad-value]: a.b[0] is 'x'",
        "    7 | \tb = ['x']",
        "      | \t ^",
        "      = try: 1",
        "      = allowed: an integer",
        "      = note: see above",
        "",
        "one.toml: warning[comment-key]: '_x' is a comment",
        "",
        "--override 'x': error[bad-override]: no '='",
        "",
        "2 errors, 1 warning",
    ]


def test_render_nothing_says_so():
    assert errors.render([]) == "no problems"


def test_problem_without_file_has_a_place_all_the_same():
    assert Problem(code="x", message="y").place() == "<configuration>"
    assert Problem(code="x", message="y", file="a", line=3).place() == "a:3:1"


def test_render_of_a_very_long_line_shows_the_part_around_the_column():
    line = "x" * 500 + "HERE" + "y" * 500
    found = errors.render([Problem(code="c", message="m", line=1, column=501, source_line=line)])
    shown, caret = found.splitlines()[1:3]
    assert len(shown) < 140
    assert shown[caret.index("^") :].startswith("HERE")


def test_render_shows_control_characters_as_such():
    found = errors.render([Problem(code="c", message="a\x1b[31mb", line=1, source_line="\x1b\x00")])
    assert "\x1b" not in found
    assert "\x00" not in found
    assert "a\\x1b[31mb" in found


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_report_colours_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = _Terminal()
    errors.report([ONE, WARN], out)
    assert "\x1b[31;1merror\x1b[0m[bad-value]" in out.getvalue()
    assert "\x1b[33;1mwarning\x1b[0m[comment-key]" in out.getvalue()


def test_report_under_no_color_is_plain(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    out = _Terminal()
    errors.report([ONE], out)
    assert out.getvalue() == errors.render([ONE]) + "\n"


def test_report_to_a_file_is_plain(monkeypatch, capsys):
    monkeypatch.delenv("NO_COLOR", raising=False)
    errors.report([WARN])
    assert capsys.readouterr().err == errors.render([WARN]) + "\n"


def test_config_error_survives_pickling():
    error = ConfigError([ONE, WARN])
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == (ONE, WARN)
    assert str(again) == str(error)
    assert isinstance(error, ValueError)


def test_missing_extra_is_an_import_error_and_a_users_mistake():
    assert issubclass(MissingExtraError, ImportError)
    assert issubclass(MissingExtraError, errors.UserError)


def test_format_path_writes_what_overrides_read():
    path = ("model", "encoder", "strides", 0, "a.b", "")
    assert format_path(path) == 'model.encoder.strides[0]["a.b"][""]'
    assert format_path(()) == "(root)"


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda text: '"]' not in text
)


@given(st.lists(st.one_of(keys, st.integers(0, 999)), min_size=1, max_size=6).map(tuple))
def test_format_path_is_read_back_by_the_override_grammar(path):
    assert overrides.parse_path(format_path(path) + "=1") == (path, "=1")
