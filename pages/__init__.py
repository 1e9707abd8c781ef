"""HTML pages for people: one renderer, one template, one escaping, one content-security policy."""
