"""OpenAI's API: completions, chat completions, models; one module per route family."""
