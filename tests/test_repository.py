"""What must hold for the repository as a whole."""

import pathlib
import re
import subprocess
import tomllib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = sorted(path.name for path in (ROOT / "packages").iterdir() if path.is_dir())


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def project_of(package):
    return tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]


def test_all_packages_share_one_version():
    root = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {package: project_of(package)["version"] for package in PACKAGES} == dict.fromkeys(
        PACKAGES, root
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed_documented_and_tested(package):
    folder = ROOT / "packages" / package
    module = package.replace("-", "_")
    assert (folder / "src" / module / "py.typed").exists()
    assert (folder / "README.md").read_text().startswith(f"# {package}\n")
    assert list((folder / "tests").glob("test_*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_readme_names_every_dependency(package):
    readme = (ROOT / "packages" / package / "README.md").read_text()
    names = [re.split(r"[<>=!\[; ]", text)[0] for text in project_of(package)["dependencies"]]
    assert [name for name in names if f"`{name}`" not in readme] == []


def test_sat_config_depends_on_msgspec_and_tomli_w_alone():
    names = {re.split(r"[<>=!]", text)[0] for text in project_of("sat-config")["dependencies"]}
    assert names == {"msgspec", "tomli-w"}


def test_constraints_agree_with_the_workspace():
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == pinned[
        "constraint-dependencies"
    ]


def test_no_lock_file_is_tracked():
    assert [path.name for path in tracked_files() if path.name == "uv.lock"] == []


def test_no_tracked_file_is_larger_than_two_mebibytes():
    large = [path for path in tracked_files() if path.exists() and path.stat().st_size > 2 << 20]
    assert large == []


def test_readme_file_tree_names_what_is_there():
    readme = (ROOT / "README.md").read_text()
    tree = re.search(r"```text\n(.*?)```", readme, re.DOTALL)
    assert tree is not None
    named = re.findall(r"^(\S+?)/?  ", tree[1], re.MULTILINE)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_readme_links_lead_somewhere():
    for page in (ROOT / "README.md", *ROOT.glob("packages/*/README.md"), *ROOT.glob("docs/**/*.md")):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
