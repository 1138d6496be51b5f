"""Verifies webhooks as they were received with the library of Standard Webhooks.

Reads a JSON file: the secret, whether it is one of any text, and the webhooks with headers and body. Prints what the library
makes of each: the event, or why it refuses it.
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def verified(webhook, headers, body):
    try:
        return {"event": webhook.verify(body, headers)}
    except WebhookVerificationError as error:
        return {"refused": str(error)}


with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)
secret = given["secret"].encode() if given["is_plain"] else given["secret"]
print(json.dumps([verified(Webhook(secret), **each) for each in given["received"]]))
