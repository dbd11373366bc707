"""SGLang's frontend in small: programs that prompt, branch and choose, over ``LLM`` or a server."""
