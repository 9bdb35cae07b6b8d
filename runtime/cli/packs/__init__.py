"""Commands for bundles that travel: pack, unpack, deploy, rollback."""
