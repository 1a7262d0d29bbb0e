"""Ask the servers behind editors what they complete and show, by the schemas that ship.

    python tools/language_servers.py tombi
    python tools/language_servers.py --out docs/results/language_servers.md

Without names, all of `SERVERS` are asked. They are found on the PATH; those for JSON and YAML come
from npm (vscode-langservers-extracted, yaml-language-server). Each is started as an editor does it
and spoken to over its pipes. A probe marks a part of a document: the hover over it has to say
certain words, and completion in its place has to offer certain words, and none of other types.
The exit status is 1 if a server falls short of that.
"""

import argparse
import dataclasses
import json
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self, cast

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "packages/sat-config/src/sat_config/presets/schemas"
PROBES = ROOT / "tests/editors/probes"
PATIENCE = 60.0
"""Seconds that a server may take for an answer."""

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Server:
    """How an editor starts a server, and tells it which schema a document follows.

    Attributes:
        argv: The command.
        suffix: Of the documents that it is for.
        wrong: A document with a mistake that only the schema tells.
        head: What names the schema in a document itself.
        settings: What names it elsewhere.
    """

    argv: tuple[str, ...]
    suffix: str
    wrong: str
    head: str = ""
    settings: Json = dataclasses.field(default_factory=dict)


def uri(name: str) -> str:
    """Where a schema is."""
    return (SCHEMAS / f"{name}.schema.json").as_uri()


SERVERS = {
    "tombi": Server(
        argv=("tombi", "lsp", "--offline"),
        suffix="toml",
        wrong="seed = true",
        head=f"#:schema {uri('layer')}\n",
    ),
    "vscode-json-language-server": Server(
        argv=("vscode-json-language-server", "--stdio"),
        suffix="json",
        wrong='{"model_type": 3}',
        settings={
            "json": {
                "schemas": [{"fileMatch": ["*.json"], "url": uri("model")}],
                "validate": {"enable": True},
            }
        },
    ),
    "yaml-language-server": Server(
        argv=("yaml-language-server", "--stdio"),
        suffix="yaml",
        wrong="seed: true",
        settings={
            "yaml": {
                "schemas": {uri("group"): "*.yaml"},
                "schemaStore": {"enable": False},
                "validate": True,
                "hover": True,
                "completion": True,
            }
        },
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """What a server has to say at a place.

    Attributes:
        document: A file of the repository.
        place: Words of the document with the part in guillemets that is hovered over and, for the
            completion, taken away.
        says: Words of the hover.
        offers: Labels of the completion.
        withholds: Labels that it must not have.
    """

    document: str
    place: str
    says: str
    offers: tuple[str, ...]
    withholds: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said at the place of a probe."""

    probe: Probe
    hover: str
    labels: tuple[str, ...]

    def faults(self) -> list[str]:
        """What it fell short of."""
        probe = self.probe
        found = [f"does not offer {word}" for word in probe.offers if word not in self.labels]
        found += [f"offers {word}" for word in probe.withholds if word in self.labels]
        return found if probe.says in self.hover else [*found, f"does not say {probe.says!r}"]


def probes(suffix: str) -> list[Probe]:
    """What is asked about documents of a kind."""
    rows = tomllib.loads((PROBES / f"{suffix}.toml").read_text(encoding="utf-8"))["probes"]
    return [Probe(**{**row, "offers": tuple(row["offers"])}) for row in rows]


def ask(name: str, folder: Path) -> Iterator[Answer]:
    """A server's answers to all probes of its kind of document.

    Args:
        name: One of `SERVERS`.
        folder: An empty folder, in which the server is started.
    """
    server = SERVERS[name]
    with Client(server, folder) as client:
        for probe in probes(server.suffix):
            document = server.head + (ROOT / probe.document).read_text(encoding="utf-8")
            at, length = marked(document, probe.place)
            hover = client.ask("hover", document, at + min(2, length - 1))
            items = client.ask("completion", document[:at] + document[at + length :], at)
            listed = items["items"] if isinstance(items, dict) else items or []
            yield Answer(
                probe=probe,
                hover=words_of((hover or {}).get("contents", "")),
                labels=tuple(item["label"].strip('"') for item in listed),
            )


def marked(document: str, place: str) -> tuple[int, int]:
    """Where the marked part of a place begins in a document, and its length."""
    before, _, rest = place.partition("«")
    word, _, after = rest.partition("»")
    if document.count(before + word + after) != 1:
        raise ValueError(f"{place!r} is not in the document exactly once")
    return document.index(before + word + after) + len(before), len(word)


def words_of(contents: Any) -> str:  # noqa: ANN401 - any of the forms of the protocol
    """The words of a hover, without the link to the schema at its end."""
    if isinstance(contents, list):
        return " ".join(words_of(part) for part in contents)
    text = contents["value"] if isinstance(contents, dict) else contents
    said = re.sub(r"\n(Schema|Source): \[.*", "", str(text), flags=re.DOTALL)
    return " ".join(said.replace("\\", "").split())


class Client:
    """The editor's side of the Language Server Protocol, as much of it as the probes need."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.process = subprocess.Popen(
            server.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        self.messages: queue.Queue[Json] = queue.Queue()
        self.count = 0
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def __enter__(self) -> Self:
        capabilities = {
            "workspace": {"configuration": True},
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": True}},
                "hover": {"contentFormat": ["markdown", "plaintext"]},
                "publishDiagnostics": {},
            },
        }
        self.request(
            "initialize",
            processId=None,
            rootUri=self.folder.as_uri(),
            initializationOptions={"handledSchemaProtocols": ["file"]},
            capabilities=capabilities,
        )
        self.send(method="initialized", params={})
        self.send(
            method="workspace/didChangeConfiguration", params={"settings": self.server.settings}
        )
        self.wait_for_schema()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.listener.join()
        self.process.communicate()

    def ask(self, what: str, text: str, at: int) -> Any:  # noqa: ANN401 - any answer
        """What the server answers at an offset of a document that is opened for it."""
        address, _ = self.open(text)
        line, start = text.count("\n", 0, at), text.rfind("\n", 0, at) + 1
        position = {"line": line, "character": at - start}
        return self.request(
            f"textDocument/{what}", textDocument={"uri": address}, position=position
        )

    def wait_for_schema(self) -> None:
        """Open a document with a mistake until the server has the schema by which it is one."""
        while not self.open(self.server.head + self.server.wrong)[1]:
            time.sleep(0.05)

    def open(self, text: str) -> tuple[str, list[Json]]:
        """Open a new document; its address, and what the server marks in it."""
        self.count += 1
        path = self.folder / f"{self.count}.{self.server.suffix}"
        path.write_text(text, encoding="utf-8")
        address = path.as_uri()
        document = {
            "uri": address,
            "languageId": self.server.suffix,
            "version": 1,
            "text": text,
        }
        self.send(method="textDocument/didOpen", params={"textDocument": document})
        while True:
            message = self.receive()
            about = message.get("params") or {}
            if "diagnostics" in about and about["uri"] == address:
                return address, about["diagnostics"]

    def request(self, method: str, **params: object) -> Any:  # noqa: ANN401 - any answer
        """The answer to a request.

        Raises:
            RuntimeError: The server answers with an error.
        """
        self.count += 1
        number = self.count
        self.send(id=number, method=method, params=params)
        while (message := self.receive()).get("id") != number or "method" in message:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def send(self, **message: object) -> None:
        """Write a message."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        pipe = cast("IO[bytes]", self.process.stdin)
        pipe.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        pipe.flush()

    def receive(self) -> Json:
        """The next message; the server's own requests are answered on the way."""
        message = self.messages.get(timeout=PATIENCE)
        if "method" in message and "id" in message:
            self.send(id=message["id"], result=self._reply(message))
        return message

    def _reply(self, message: Json) -> object:
        if message["method"] != "workspace/configuration":
            return None
        sections = [item.get("section", "") for item in message["params"]["items"]]
        return [self.server.settings.get(section, {}) for section in sections]

    def _listen(self) -> None:
        out = cast("IO[bytes]", self.process.stdout)
        while line := out.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                line = out.readline()
            self.messages.put(json.loads(out.read(length)))


# ------------------------------------------------------------------------------------------- report

HEAD = """\
# What editors say

<!-- Written by tools/language_servers.py; do not edit. -->

What the language servers behind editors answer, by the schemas that ship: the hover over the part
between « and », and what completion offers in its place. Long lists are cut short.
"""


def main() -> int:
    """Ask, print and write; 1 if a server falls short."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    parser.add_argument("--out", type=Path, help="page that takes the answers")
    arguments = parser.parse_args()
    page, wrong = HEAD, 0
    for name in arguments.names or SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            answers = list(ask(name, Path(folder).resolve()))
        for answer in answers:
            for fault in answer.faults():
                wrong += 1
                print(f"{name}: {answer.probe.place!r}: {fault}", file=sys.stderr)
        print(f"{name}: {len(answers)} places")
        page += f"\n## {name} {version(name)}\n" + "".join(map(shown, answers))
    if arguments.out:
        arguments.out.write_text(page, encoding="utf-8", newline="\n")
    return 1 if wrong else 0


def version(name: str) -> str:
    """The version of a server, from the command itself or the npm package that it is of."""
    command = Path(shutil.which(name) or name).resolve()
    for folder in command.parents:
        if (folder / "package.json").is_file():
            return str(json.loads((folder / "package.json").read_text())["version"])
    words = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    return words.stdout.split()[1]


def shown(answer: Answer) -> str:
    """One answer, as it is read."""
    most = 8
    labels = ", ".join(answer.labels[:most])
    more = f" and {len(answer.labels) - most} more" if len(answer.labels) > most else ""
    return f"""
{answer.probe.document}:

```text
{answer.probe.place}
```

- hover: {answer.hover}
- completion: {labels}{more}
"""


if __name__ == "__main__":
    raise SystemExit(main())
