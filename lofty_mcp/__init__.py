"""An MCP server that lets AI assistants work in the Lofty real-estate CRM."""
