"""What the OpenAPI document can't say, for schemathesis: which valid requests may be refused all the same, and why."""

import os

import schemathesis
from schemathesis.checks import CheckContext

# Keys that the run itself calls with. Revoked by one of its own cases, every later case would end at 401 and check nothing.
OWN_KEY_IDS = frozenset(os.environ["OWN_KEY_IDS"].split(","))

# Rules that JSON Schema has no words for, or only at every single object and text: what their messages say.
RULES_BEYOND_THE_SCHEMA = (
    "is not a cursor of this list and filter",  # signed by the server
    "Unknown model",  # the operator's catalogue decides
    "'max_tokens' must be at most",  # each model has its own limit
    "'thinking.budget_tokens'",  # settings are judged together
    "together with 'thinking'",
    "takes no 'thinking.type'",  # each model has its own types
    "a second time",  # of tools, "x" and {"name": "x"} are the same
    "has a reserved name",  # __proto__, in objects whose keys are free
    "is nested deeper than 64 levels",
    "was used with another body",  # an Idempotency-Key
    "'parameters",  # of a tool: a JSON Schema itself, and one that can be checked in linear time
    ".parameters",  # the same, in a list of tools
    "The 'url' field",  # what an address may be is more than its format
    "must have no other name beside '*'",
    "An account can have 100 webhooks",
    "must be within a year",  # when a new secret is in force
    "must be later than 'from'",
    "The webhook is disabled",  # nothing is sent to it again
    "parameter is for pages",  # a stream goes on by its events' numbers, in their order
    "can't be combined with 'wait'",  # two ways to be answered
)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.label.startswith("DELETE /v1/api-keys/") and case.path_parameters.get("keyId") in OWN_KEY_IDS:
        case.path_parameters["keyId"] = "key_of_this_run"


@schemathesis.check
def valid_data_is_accepted(ctx: CheckContext, response, case):
    """The built-in `positive_data_acceptance`, with an exact list of exceptions instead of a status that excuses all."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 413, 415, 422):
        return
    message = response.json()["error"]["message"]
    assert any(rule in message for rule in RULES_BEYOND_THE_SCHEMA), f"Valid data was refused: {message}"
