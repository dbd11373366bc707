"""SGLang's native API, and what an operator asks of a server: health, control, prefixes."""
