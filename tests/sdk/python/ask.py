"""azure-identity, also as it was before MSAL: ask.py CREDENTIAL RESOURCE [CLIENT_ID]"""

import json
import sys
import time
from importlib.metadata import version

from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

name, resource, *client = sys.argv[1:]
start = time.monotonic()
try:
    if name == "DefaultAzureCredential":
        credential = DefaultAzureCredential()
    else:
        credential = ManagedIdentityCredential(**({"client_id": client[0]} if client else {}))
    outcome = {"token": credential.get_token(f"{resource}/.default").token}
except Exception as error:
    outcome = {"error": str(error)}
outcome["milliseconds"] = round((time.monotonic() - start) * 1000)
print(json.dumps({"version": version("azure-identity"), **outcome}))
