"""Holds a server's description of itself against what others wrote: the OpenRPC meta-schema, and JSON Schema.

usage: openrpc_check.py META_SCHEMA < {"document": .., "answers": {method: result}}
Prints each fault on a line; ends with 1 if there is any.

- The document is an OpenRPC document, and each of its schemas a schema of draft 7.
- The parameters of each example fit the schemas of the method and leave none of the required ones out.
- Its result fits, and so does the answer that the server really gave.
"""

import json
import sys

from jsonschema import Draft7Validator
from jsonschema_specifications import REGISTRY
from referencing.jsonschema import DRAFT7

with open(sys.argv[1]) as file:
    meta = json.load(file)
given = json.load(sys.stdin)
document = given["document"]

# Where the meta-schema asks for "a JSON Schema" it names the tools of its authors, which are draft 7 in other words.
draft7 = {
    "allOf": [{"$ref": "http://json-schema.org/draft-07/schema#"}],
    "definitions": {"JSONSchemaObject": {"properties": {"$ref": {"type": "string"}}}},
}
registry = REGISTRY.with_contents(
    [("https://meta.json-schema.tools/", draft7), ("https://meta.json-schema.tools", draft7), ("urn:document", document)],
    default_specification=DRAFT7,
)

faults = 0


def check(what, schema, value):
    global faults
    for error in Draft7Validator(schema, registry=registry).iter_errors(value):
        faults += 1
        print(f"{what}: {error.json_path}: {error.message[:300]}")


def at_home(schema):
    """The schema with its references into the document made absolute."""
    if isinstance(schema, dict):
        return {
            name: "urn:document" + value if name == "$ref" else at_home(value) for name, value in schema.items()
        }
    return [at_home(item) for item in schema] if isinstance(schema, list) else schema


check("document", {key: value for key, value in meta.items() if key != "$schema"}, document)
for name, schema in document["components"]["schemas"].items():
    check(f"schema {name}", Draft7Validator.META_SCHEMA, schema)
for reference in [word for word in json.dumps(document).split('"') if word.startswith("#/")]:
    registry.resolver().lookup("urn:document" + reference)

for method in document["methods"]:
    name = method["name"]
    schemas = {param["name"]: param for param in method["params"]}
    for example in method["examples"]:
        values = {param["name"]: param["value"] for param in example["params"]}
        for missing in {param for param in schemas if schemas[param]["required"]} - set(values):
            faults += 1
            print(f"{name}: the example leaves out `{missing}`")
        for param, value in values.items():
            check(f"{name}: example of `{param}`", at_home(schemas[param]["schema"]), value)
        result = at_home(method["result"]["schema"])
        check(f"{name}: result of the example", result, example["result"]["value"])
        check(f"{name}: answer", result, given["answers"][name])
    for schema in [param["schema"] for param in method["params"]] + [method["result"]["schema"]]:
        check(f"{name}: schema", Draft7Validator.META_SCHEMA, schema)

print(f"{len(document['methods'])} methods")
sys.exit(1 if faults else 0)
