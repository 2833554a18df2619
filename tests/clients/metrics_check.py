"""Reads metrics as Prometheus's own library for Python does (package prometheus_client).

usage: metrics_check.py < METRICS
Prints `name type samples` of each family on a line.
"""

import sys

from prometheus_client.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation, f"{family.name} says nothing of itself"
    print(family.name, family.type, len(family.samples))
