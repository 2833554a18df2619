"""What schemathesis is to ask of the answers besides what it knows itself (SCHEMATHESIS_HOOKS)."""

import schemathesis


@schemathesis.check
def no_internal_fault(ctx, response, case):
    """A fault of the server has status 200 in two of its envelopes: 1000 of the table of errors."""
    if "application/json" not in response.headers.get("content-type", [""])[0]:
        return
    answer = response.json()
    for one in answer if isinstance(answer, list) else [answer]:
        error = one.get("error") if isinstance(one, dict) else None
        code = error.get("code") if isinstance(error, dict) else error
        assert code != 1000, f"an internal fault: {one}"


@schemathesis.check
def every_answer_names_its_request(ctx, response, case):
    assert response.headers.get("x-request-id"), "no X-Request-Id"
