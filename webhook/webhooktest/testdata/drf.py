"""Judges bodies with Django REST framework itself.

Says first in which shape it names the items of a list, which changed in 3.18. Then it reads a body in base64 from each
line of standard input, and writes a line of JSON for each: the status, the answer and the rows that would be stored.
The serializers are written anew from what Sentry's endpoint is known to do.
"""

import base64
import io
import json
import sys

from django.conf import settings

settings.configure(USE_TZ=True, TIME_ZONE="UTC", USE_I18N=False, REST_FRAMEWORK={"UNAUTHENTICATED_USER": None})

import django  # noqa: E402

django.setup()

from rest_framework import serializers  # noqa: E402
from rest_framework.exceptions import ParseError  # noqa: E402
from rest_framework.parsers import JSONParser  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402


class Author(serializers.Serializer):
    id = serializers.CharField(max_length=100)
    type = serializers.ChoiceField(choices=("email", "id", "name"))


class Change(serializers.Serializer):
    action = serializers.ChoiceField(choices=("created", "updated", "deleted"))
    change_id = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    created_by = Author()
    flag = serializers.CharField(max_length=256)


class Meta(serializers.Serializer):
    version = serializers.IntegerField()


class Payload(serializers.Serializer):
    data = Change(many=True)
    meta = Meta()


def judge(body):
    try:
        data = JSONParser().parse(io.BytesIO(body)) if body else {}
    except ParseError:
        return {"status": 400, "answer": "", "rows": []}
    payload = Payload(data=data)
    if not payload.is_valid():
        return {"status": 200, "answer": JSONRenderer().render(payload.errors).decode(), "rows": []}
    rows, seen = [], set()
    for change in payload.validated_data["data"]:
        if change["change_id"] in seen:
            continue
        seen.add(change["change_id"])
        by = change["created_by"]
        at = change["created_at"].isoformat(timespec="microseconds")
        rows.append([change["action"], str(change["change_id"]), at, by["id"], by["type"], change["flag"]])
    return {"status": 200, "answer": "", "rows": rows}


empty = Payload(data={"data": [{}], "meta": {"version": 1}})
empty.is_valid()
print("by index" if isinstance(empty.errors["data"], dict) else "in a list", flush=True)
for line in sys.stdin:
    print(json.dumps(judge(base64.b64decode(line))), flush=True)
