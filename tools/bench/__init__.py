"""Measures deliveries on real parts: how fast, how even, how small. See docs/performance.md."""

import sys
from pathlib import Path

# Airflow puts this folder on the path where it runs; here nothing has done so yet.
sys.path.append(str(Path(__file__).resolve().parents[2] / "plugins"))
