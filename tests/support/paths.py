"""Where things lie that tests need."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


SAMPLES = ROOT / "app" / "web" / "samples"


INKBLOT = [sys.executable, "-m", "app"]
