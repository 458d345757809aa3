"""Configuration: found, read, expanded, checked and resolved before anything is built from it.

    find -> decode (yaml_marks, toml_marks) -> expand -> shape -> check -> convert -> resolve

Each step reports problems instead of stopping at the first; `ccrelay.config.load.load` runs them
all. What the data plane reads is `ccrelay.config.model.Config`, with every default filled in;
`ccrelay.config.diff` tells two of them apart when one is reloaded.
"""
