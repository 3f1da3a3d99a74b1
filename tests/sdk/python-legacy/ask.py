"""msrestazure, which the SDKs for Python used before azure-identity: ask.py CREDENTIAL RESOURCE [CLIENT_ID]"""

import json
import sys
import time
from importlib.metadata import version

from msrestazure.azure_active_directory import MSIAuthentication

_, resource, *client = sys.argv[1:]
start = time.monotonic()
try:
    credential = MSIAuthentication(resource=resource, **({"client_id": client[0]} if client else {}))
    outcome = {"token": credential.token["access_token"]}
except Exception as error:
    outcome = {"error": str(error)}
outcome["milliseconds"] = round((time.monotonic() - start) * 1000)
print(json.dumps({"version": version("msrestazure"), **outcome}))
