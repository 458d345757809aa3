"""Configuration: find, parse, expand, validate, check and resolve, before anything uses it.

    find -> parse (yaml_marks, toml_marks) -> expand -> validate -> check -> convert -> resolve

Each step reports all problems instead of stopping at the first; `ccrelay.config.load.load` runs all
steps. The result is a `ccrelay.config.model.Config` with all defaults filled in;
`ccrelay.config.diff` compares two of them on a reload.
"""
