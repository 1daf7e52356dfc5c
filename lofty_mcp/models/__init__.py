"""What a viewer may see: one module per CRM noun, fed with Lofty's JSON and emptied as a tool's result."""
