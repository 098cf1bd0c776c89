#!/usr/bin/env python3
"""Compares what the construct (cdk/) makes with template.yaml, in both auth modes and over a restored table: the same
resources under the same names, with the same properties. It synthesizes without built functions and without a network.

Both are brought to one form: the template's SAM functions become what SAM makes of them, parameters take their
defaults, conditions are decided, and references become text with the resource's name.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cfnlint.decode import cfn_yaml

HERE = Path(__file__).resolve().parent
CDK = HERE / "cdk"
# Values of the template's parameters; the construct takes them as context, in camel case.
VARIANTS = {"AuthMode": "keys"}, {"AuthMode": "iam"}, {"AuthMode": "keys", "ExistingTable": "restored"}
# The path of a child of the construct: <stack>/<construct>/<name in the template>[/Resource].
DEPTH = 2
# Where a function's code is, differs by what a deployment tool is.
TOOLS_OWN = {"Code", "CodeUri"}
# In the template everything is under Globals.Function; SAM calls some of it otherwise.
RENAMED = {"Tracing": lambda mode: ("TracingConfig", {"Mode": mode})}


class Template:
    """One template, resolved: parameters by values or defaults, resources by `names` (logical id -> name)."""

    def __init__(self, document: dict, names: dict[str, str], parameters: dict[str, str]):
        self.document = document
        self.names = names
        defaults = {name: spec.get("Default", "") for name, spec in document.get("Parameters", {}).items()}
        self.parameters = defaults | parameters

    def holds(self, condition: str) -> bool:
        return self.value(self.document["Conditions"][condition])

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), *_ = node.items()
            if function in ("Ref", "Condition") or function.startswith("Fn::"):
                return self.call(function.removeprefix("Fn::"), argument)
        resolved = {key: self.value(child) for key, child in node.items()}
        return {key: value for key, value in resolved.items() if value is not None}

    def call(self, function: str, argument: Any) -> Any:
        match function:
            case "Ref":
                return self.reference(argument)
            case "GetAtt":
                resource, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
                return self.reference(f"{resource}.{attribute}")
            case "Sub":
                return self.substitute(argument)
            case "Join":
                return argument[0].join(str(self.value(part)) for part in argument[1])
            case "FindInMap":
                section, first, second = (self.value(part) for part in argument)
                return self.document["Mappings"][section][first][second]
            case "If":
                return self.value(argument[1] if self.holds(argument[0]) else argument[2])
            case "Condition":
                return self.holds(argument)
            case "Equals":
                return self.value(argument[0]) == self.value(argument[1])
            case "And":
                return all(self.value(argument))
            case "Not":
                return not self.value(argument[0])
        raise ValueError(f"Fn::{function} is not known here")

    def reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return None
        if name in self.parameters:
            return self.parameters[name]
        resource, _, attribute = name.partition(".")
        known = self.names.get(resource, resource)
        if name == "AccessKeysSecret.Id":  # its ARN, which a plain reference to a secret is, too
            attribute = ""
        return f"${{{known}.{attribute}}}" if attribute else f"${{{known}}}"

    def substitute(self, text: str) -> str:
        pieces = str(text).split("${")
        resolved = [pieces[0]]
        for piece in pieces[1:]:
            name, rest = piece.split("}", 1)
            resolved.append(f"{self.reference(name)}{rest}")
        return "".join(resolved)

    def resources(self) -> dict[str, dict]:
        found = {}
        for logical_id, resource in self.document["Resources"].items():
            name = self.names.get(logical_id, logical_id)
            if "Condition" not in resource or self.holds(resource["Condition"]):
                found[name] = self.resource(resource)
        return found

    def resource(self, resource: dict) -> dict:
        kind, properties = resource["Type"], dict(resource.get("Properties", {}))
        if kind == "AWS::Serverless::Function":
            kind = "AWS::Lambda::Function"
            shared = self.document["Globals"]["Function"]
            variables = shared["Environment"]["Variables"] | properties.get("Environment", {}).get("Variables", {})
            properties = shared | properties | {"Environment": {"Variables": variables}}
        properties = {name: value for name, value in properties.items() if name not in TOOLS_OWN}
        for old, rename in RENAMED.items():
            if old in properties:
                new, value = rename(properties.pop(old))
                properties[new] = value
        if resource.get("DeletionPolicy", "Delete") != resource.get("UpdateReplacePolicy", "Delete"):
            properties["UpdateReplacePolicy"] = resource.get("UpdateReplacePolicy")
        properties["DeletionPolicy"] = resource.get("DeletionPolicy", "Delete")
        return {"Type": kind, **plain(self.value(properties))}


def plain(node: Any, key: str = "") -> Any:
    """One form for what means the same: texts of numbers, lists of one, JSON in text, the order of statements."""
    if isinstance(node, dict):
        return {name: plain(value, name) for name, value in node.items()}
    if isinstance(node, list):
        items = [plain(item) for item in node]
        if len(items) == 1 and key in ("Action", "Resource"):
            return items[0]
        return sorted(items, key=json.dumps) if key in ("Action", "Resource", "Statement") else items
    if isinstance(node, str) and node.startswith("{") and node.endswith("}"):
        return plain(json.loads(node)) if '"' in node else node
    return str(node).lower() if isinstance(node, bool) else str(node)


def sam(parameters: dict[str, str]) -> dict[str, dict]:
    document = json.loads(json.dumps(cfn_yaml.load(HERE / "template.yaml")))
    return Template(document, {}, parameters).resources()


def construct(parameters: dict[str, str], folder: Path) -> dict[str, dict]:
    document = json.loads(synthesize(parameters, folder).read_text())
    names = {}
    for logical_id, resource in document["Resources"].items():
        path = resource["Metadata"]["aws:cdk:path"].split("/")
        names[logical_id] = "".join(path[DEPTH:]).removesuffix("Resource")
    return Template(document, names, {}).resources()


def synthesize(parameters: dict[str, str], folder: Path) -> Path:
    output = folder / f"cdk.out-{'-'.join(parameters.values())}"
    context = ["--context", f"codeRoot={folder / 'code'}"]
    for name, value in parameters.items():
        context += ["--context", f"{name[0].lower()}{name[1:]}={value}"]
    subprocess.run(
        [CDK / "node_modules" / ".bin" / "cdk", "synth", "--quiet", *context, "-o", output], check=True, cwd=CDK
    )
    return output / "genai-vectors.template.json"


def make_code(folder: Path) -> None:
    """A file that stands for each function's code."""
    for row in json.loads((CDK / "functions.json").read_text()):
        code = folder / "code" / f"{row['name']}Function"
        code.mkdir(parents=True)
        (code / "bootstrap").write_text(row["name"])


def differences(expected: dict[str, dict], made: dict[str, dict]) -> list[str]:
    lines = [f"{name}: the construct lacks it" for name in sorted(expected.keys() - made.keys())]
    lines += [f"{name}: the template lacks it" for name in sorted(made.keys() - expected.keys())]
    for name in sorted(expected.keys() & made.keys()):
        for field in sorted(expected[name].keys() | made[name].keys()):
            ours, theirs = expected[name].get(field), made[name].get(field)
            if ours != theirs:
                lines.append(f"{name}.{field}:\n  template  {json.dumps(ours)}\n  construct {json.dumps(theirs)}")
    return lines


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        make_code(Path(folder))
        constructs = list(pool.map(lambda parameters: construct(parameters, Path(folder)), VARIANTS))
    for parameters, made in zip(VARIANTS, constructs, strict=True):
        variant = " ".join(f"{name}={value}" for name, value in parameters.items())
        expected = sam(parameters)
        found = differences(expected, made)
        if found:
            sys.exit("\n".join([f"with {variant}:", *found]))
        print(f"{variant}: the construct and the template make the same {len(expected)} resources")


if __name__ == "__main__":
    main()
