"""What the command `lexlip` does, a module for each kind of thing; `lexlip.command_line` puts them together."""
