"""Holds a document against the meta-schema and the rules of OpenAPI 3.1 (package openapi-spec-validator).

usage: openapi_check.py < DOCUMENT
Prints each fault on a line; ends with 1 if there is any.
"""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

faults = list(OpenAPIV31SpecValidator(json.load(sys.stdin)).iter_errors())
for fault in faults:
    print(f"{fault.json_path}: {fault.message[:300]}")
sys.exit(1 if faults else 0)
