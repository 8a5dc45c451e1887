"""Has anything that is installed from the lock a known advisory?

Asks with pip-audit, which needs the network. What cannot be asked is said and fails nothing, unless --strict:
a build without a network should not fail, and should not pass silently either.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_WITHIN_S = 300


def main(strict: bool) -> int:
    """The exit code: 1 for findings, and with `strict` 2 when nobody could be asked."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off",
               "-f", "json", "-r", str(ROOT / "requirements.lock")]  # fmt: skip
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
        found = json.loads(asked.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        print("advisories: could not be asked for (is there a network?); nothing is known of what is installed")
        return 2 if strict else 0
    known = [(one["name"], one["version"], fault) for one in found for fault in one.get("vulns", ())]
    for name, version, fault in known:
        cure = ", ".join(fault["fix_versions"]) or "none yet"
        print(f"{name} {version}: {fault['id']} (mended in: {cure})")
    print(f"advisories: {len(known)} in {len(found)} packages")
    return 1 if known else 0


if __name__ == "__main__":
    raise SystemExit(main("--strict" in sys.argv[1:]))
