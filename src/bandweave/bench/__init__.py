"""Methods times data times protocol: records, resumable after any kill."""
