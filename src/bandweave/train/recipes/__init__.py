"""Named recipes: the papers', the published programs', and our own."""
