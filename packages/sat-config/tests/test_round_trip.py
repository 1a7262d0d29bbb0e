"""Any configuration that the schema allows survives being written and read, in both formats.

The configurations are drawn from the schema itself: every type, every field, every constraint.
"""

import copy
import functools
import json
import pathlib
import tomllib
import typing
import warnings

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sat_config
from sat_config import convert, diagnose, document, layers, loading, plugins, registry, schema
from sat_config.audio.dataset import DatasetNode
from sat_config.document import Source
from sat_config.errors import ConfigWarning

REPOSITORY = pathlib.Path(__file__).parents[3]
DEEPEST = 5
SETTINGS = settings(
    max_examples=100,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,
    ],
)

plugins.load()

# --------------------------------------------------------------------------- values of annotations

chars = st.characters(exclude_categories=["Cs"]) | st.sampled_from("\"'\\#[]{}=,.\n\t é")
texts = st.text(chars, max_size=6)
names = texts | texts.map("_{}".format)  # which would be a comment where keys are fixed, in JSON
whole = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
free = st.recursive(
    texts | whole | finite | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=3,
)
files = st.text("abc é", min_size=1, max_size=3).map(lambda text: f"/{text.strip() or 'x'}")


LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


@functools.cache
def values(annotation, depth):
    """Plain values that an annotation accepts, tables no deeper than `depth` where that can be."""
    slot = schema.slot_of(annotation)
    if slot.path_kind in ("input", "checkpoint") and slot.item is None:
        return files  # in full, else reading completes it
    arms = [arm for arm in flat(annotation, ()) if arm[0] is not type(None)]
    structs = [arm for arm in arms if isinstance(arm[0], type) and arm[0] in slot.structs]
    others = [arm for arm in arms if not is_struct(arm[0])]
    choices = [leaf(kind, metas, depth) for kind, metas in others]
    if structs and (depth > 0 or not others):
        choices.append(st.sampled_from(slot.structs).flatmap(lambda cls: tables(cls, depth - 1)))
    return st.one_of(choices)


def flat(annotation, metas):
    """The alternatives of an annotation, each with the constraints around it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from flat(arguments[0], (*arguments[1:], *metas))
    elif origin is typing.Union or str(origin) == "<class 'types.UnionType'>":
        for part in arguments:
            yield from flat(part, metas)
    else:
        yield annotation, metas


def is_struct(kind):
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def leaf(kind, metas, depth):
    """Values of a type without Structs at its own level."""
    limits = {
        name: value
        for meta in metas
        for name in LIMITS
        if (value := getattr(meta, name)) is not None
    }
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is not ...:
        return st.tuples(*(values(part, depth) for part in arguments)).map(list)
    if origin in (tuple, list):
        least = limits.get("min_length", 0)
        most = limits.get("max_length", least + 2)
        return st.lists(values(arguments[0], depth), min_size=least, max_size=most)
    if origin is dict:
        return st.dictionaries(names, values(arguments[1], depth), max_size=2)
    return scalars(kind, limits)


def scalars(kind, limits):
    if kind is typing.Any:
        return free
    if kind is bool:
        return st.booleans()
    if kind is int:
        low = max(limits.get("ge", -(2**63)), limits.get("gt", -(2**63) - 1) + 1)
        high = min(limits.get("le", 2**63 - 1), limits.get("lt", 2**63) - 1)
        step = limits.get("multiple_of", 1)
        return st.integers(-(-low // step), high // step).map(lambda n: n * step)
    if kind is float:
        return st.floats(
            min_value=limits.get("gt", limits.get("ge")),
            max_value=limits.get("lt", limits.get("le")),
            exclude_min="gt" in limits,
            exclude_max="lt" in limits,
            allow_nan=False,
            allow_infinity=False,
        ) | st.integers(-3, 3).filter(lambda n: convert.fault(n, annotated(limits)) is None)
    assert kind is str, kind
    if "pattern" in limits:
        return st.from_regex(limits["pattern"]).filter(
            lambda text: len(text) < 30 and text.isprintable()
        )
    least = limits.get("min_length", 0)
    return st.text(chars, min_size=least, max_size=limits.get("max_length", least + 5))


def annotated(limits):
    return typing.Annotated[float, msgspec.Meta(**limits)]


@functools.cache
def tables(cls, depth, least=0, most=6):
    """Plain tables of a Struct: its tag, its required keys, and some of the others."""
    tag = cls.__struct_config__
    fields = schema.fields(cls)
    optional = [key for key, field in fields.items() if not field.required]
    chosen = None
    if optional:
        least, most = min(least, len(optional)), min(most, len(optional))
        chosen = st.lists(st.sampled_from(optional), min_size=least, max_size=most, unique=True)

    @st.composite
    def table(draw):
        made = {} if tag.tag_field is None else {tag.tag_field: tag.tag}
        extra = draw(chosen) if chosen is not None and depth > 0 else ()
        for key, field in fields.items():
            if field.required or key in extra:
                made[key] = draw(values(field.slot.annotation, depth))
        return made

    return table()


def roots():
    found = [(family.base, cls) for family in registry.current().roots()
             for cls in family.members.values()]  # fmt: skip
    datasets = registry.current().families[DatasetNode].members.values()
    return [*found, *((DatasetNode, cls) for cls in datasets)]


ROOTS = pytest.mark.parametrize(
    ("head", "cls"), roots(), ids=[cls.__struct_config__.tag for _, cls in roots()]
)

# ------------------------------------------------------------------------------------- properties


def read(path, head):
    kind = None if head is not DatasetNode else head
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        return loading._check([str(path)], (), kind, may_run=False).require()


@ROOTS
def test_what_is_written_is_read_again(head, cls, tmp_path):
    @SETTINGS
    @given(tree=tables(cls, DEEPEST))
    def check(tree):
        config = convert.convert(tree, cls)
        for format in ("toml", "json"):
            path = tmp_path / f"again.{format}"
            path.write_text(sat_config.dumps(config, format), encoding="utf-8", newline="")
            assert read(path, head) == config

    check()


def every_struct():
    """The Structs that the annotations of all documents name."""
    found, ahead = {}, [cls for _, cls in roots()]
    while ahead:
        cls = ahead.pop()
        if cls not in found:
            found[cls] = None
            slots = [field.slot for field in schema.fields(cls).values()]
            while slots:
                slot = slots.pop()
                ahead += slot.structs
                slots += [inner for inner in (slot.item, slot.values) if inner is not None]
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


def test_every_member_is_part_of_some_document():
    for family in registry.current().families.values():
        assert set(family.members.values()) <= set(every_struct()), family.name


@pytest.mark.parametrize("cls", every_struct(), ids=lambda cls: cls.__name__)
def test_struct_with_all_its_keys_survives_being_written(cls):
    @settings(SETTINGS, max_examples=4)
    @given(tree=tables(cls, 2, least=999, most=999))
    def check(tree):
        assert set(schema.fields(cls)) <= set(tree)
        config = convert.convert(tree, cls)
        for format, parse in (("toml", tomllib.loads), ("json", json.loads)):
            again = parse(sat_config.dumps(config, format))
            del again["schema_version"]
            assert convert.convert(again, cls) == config

    check()


def spots(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        pairs = enumerate(value)
    for key, item in pairs:
        yield from spots(item, (*path, key))


def at(tree, path):
    for key in path:
        tree = tree[key]
    return tree


junk = st.sampled_from(
    [None, True, 0, -1, 3, 0.5, 1e30, "", "x", "vae", "dit", "null", [], [1], [[]], {}, {"type": 1}]
)


@st.composite
def mutated(draw, tree):
    """A table with one to three places changed: other values, keys gone, renamed or elsewhere."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        places = [path for path in spots(tree) if path]
        if not places:
            break
        path = draw(st.sampled_from(places))
        holder, key = at(tree, path[:-1]), path[-1]
        match draw(st.sampled_from(["set", "delete", "rename", "copy"])):
            case "set":
                holder[key] = draw(junk)
            case "delete":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["type", "config", "id", f"{key}x"]))] = holder.pop(key)
            case _:
                holder[key] = copy.deepcopy(at(tree, draw(st.sampled_from([(), *places]))))
    return tree


@ROOTS
def test_a_problem_is_found_exactly_when_msgspec_refuses(head, cls):
    slot = schema.struct_slot(head)

    @SETTINGS
    @given(tree=tables(cls, DEEPEST).flatmap(mutated))
    def check(tree):
        found = slot.struct_for(tree)
        layer = layers.Layer(document.Document(Source(name="<t>"), tree))
        problems = diagnose.diagnose(layers.fold([layer], slot))
        problems = [problem for problem in problems if not problem.code.startswith("SAT-")]
        refused = found is None or convert.fault(tree, found) is not None
        assert bool(problems) == refused, problems

    check()


# --------------------------------------------------------------------------------- shipped files


def shipped():
    """Documents that this repository ships."""
    for folder in (REPOSITORY / "configs", pathlib.Path(sat_config.__file__).parent / "presets"):
        for path in sorted([*folder.rglob("*.toml"), *folder.rglob("*.json")]):
            if "schema" not in str(path.relative_to(folder)):
                yield path


@pytest.mark.parametrize("format", ["toml", "json"])
@pytest.mark.parametrize("path", list(shipped()), ids=lambda path: path.name)
def test_shipped_document_survives_the_round_trip(path, tmp_path, format):
    head = None
    report = loading._check([str(path)], (), None, may_run=False)
    if any(problem.code == "no-root-tag" for problem in report.errors):
        head = DatasetNode
        report = loading._check([str(path)], (), head, may_run=False)
    if any(problem.code == "missing-tag" for problem in report.errors):
        pytest.skip("a part of a document")
    assert report.errors == ()
    again = tmp_path / f"again.{format}"
    again.write_text(sat_config.dumps(report.config, format), encoding="utf-8")
    assert read(again, head) == report.config
