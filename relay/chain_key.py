"""With which key are the heads of the activity logs signed?

One for the installation, made when it is first needed, and sealed in the database: who has only the database
cannot sign with it. Its public half verifies what was exported.
"""

from __future__ import annotations

from relay.signing import Ed25519Key, new_signing_key
from relay.store.chain import Chains
from relay.vault import Vault

CONTEXT = "chain:key"


async def chain_key(chains: Chains, vault: Vault) -> Ed25519Key:
    """The key. Raises VaultError when none of the ring opens it, and StoreError."""
    sealed = await chains.key.get()
    if sealed is None:
        private, _ = new_signing_key()
        sealed = await chains.key.keep(vault.seal(private.encode(), context=CONTEXT))
    return Ed25519Key.parse(vault.open(sealed, context=CONTEXT).decode())
