"""An MCP server over standard input and output with 30 tools that do nothing."""

import json
import sys
from typing import Any

TOOLS = [
    {
        "name": f"look_up_{number}",
        "description": "Looks up a book on the shelf by its title. " * 10,
        "inputSchema": {"type": "object", "properties": {"title": {"type": "string"}}},
    }
    for number in range(30)
]


def answer(call: dict[str, Any]) -> dict[str, Any]:
    """The result of a call."""
    if call["method"] == "initialize":
        return {
            "protocolVersion": call["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "shelf", "version": "1"},
        }
    return {"tools": TOOLS} if call["method"] == "tools/list" else {}


if __name__ == "__main__":
    for line in sys.stdin:
        call = json.loads(line)
        if "id" in call:
            said = {"jsonrpc": "2.0", "id": call["id"], "result": answer(call)}
            print(json.dumps(said), flush=True)
