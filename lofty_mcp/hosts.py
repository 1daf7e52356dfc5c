"""The lines that make an assistant start this server, for the way it is installed here."""

import json
import shlex
import sys
from pathlib import Path

KEY = "YOUR-LOFTY-API-KEY"


def command() -> list[str]:
    """The command that starts this very installation from anywhere: its script, or its interpreter."""
    script = Path(sys.executable).with_name("lofty-mcp.exe" if sys.platform == "win32" else "lofty-mcp")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "lofty_mcp"]


def lines(run: list[str]) -> str:
    """What to paste where, for a server started by `run`."""
    entry = {"command": run[0], "args": run[1:], "env": {"LOFTY_API_KEY": KEY}}
    asked = {"type": "promptString", "id": "lofty-api-key", "description": "Lofty API key", "password": True}  # nosec B105 - asks VS Code to hide it
    vscode = {
        "inputs": [asked],
        "servers": {"lofty": {"type": "stdio", **entry, "env": {"LOFTY_API_KEY": "${input:lofty-api-key}"}}},
    }
    return "\n".join(
        [
            "Claude Desktop, in claude_desktop_config.json (Settings > Developer > Edit Config):",
            json.dumps({"mcpServers": {"lofty": entry}}, indent=2),
            "",
            "Claude Code, in a terminal:",
            f"claude mcp add lofty --env LOFTY_API_KEY={KEY} -- {shlex.join(run)}",
            "",
            "VS Code, in .vscode/mcp.json:",
            json.dumps(vscode, indent=2),
        ]
    )
